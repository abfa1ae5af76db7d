import { z } from "zod";

const version = z.string().regex(/^(\d+\.\d+\.\d+.*|unknown)$/);

/** What `--json FILE` writes; a file that does not fit it was not written by this bench. */
export const resultSchema = z.strictObject({
  format: z.literal("fanwire-bench/1"),
  scenario: z.string().min(1),
  /** As typed, to have it again. */
  command: z.string().min(1),
  startedAt: z.iso.datetime(),
  seconds: z.number().nonnegative(),
  /** partial: not all that was asked for was measured; `problems` says why. */
  status: z.enum(["complete", "partial"]),
  /** false: the clients could not keep up, and `problems` says where. */
  valid: z.boolean(),
  problems: z.array(z.string()),
  environment: z.strictObject({
    cpu: z.string(),
    cores: z.int().positive(),
    memoryGiB: z.number().nonnegative(),
    kernel: z.string(),
    node: z.string().regex(/^v\d+\.\d+\.\d+/),
    fanwire: version,
    /** Package and version. */
    uws: z.string().regex(/^([^@]+@\d+\.\d+\.\d+.*|unknown)$/),
    /** With "+": files were changed since. */
    revision: z.string().regex(/^([0-9a-f]{7,40}\+?|none)$/),
    /** As in force, by the kernel's names; those that it has. */
    sysctls: z.record(z.string().regex(/^(fs|net)(\.[a-z0-9_-]+)+$/), z.string().min(1)),
    openFilesMax: z.int().positive(),
    loadAverage: z.number().nonnegative(),
  }),
  tables: z.array(
    z.strictObject({
      title: z.string().min(1),
      columns: z.array(z.string()),
      rows: z.array(z.array(z.string())),
      notes: z.array(z.string()),
      invalid: z.array(z.string()).optional(),
      incomplete: z.string().optional(),
      /** A scenario's own numbers, unrounded. */
      raw: z.json(),
    }),
  ),
});

export type BenchResult = z.infer<typeof resultSchema>;

/** @throws Error that says where it does not fit. */
export function parseResult(value: unknown): BenchResult {
  const parsed = resultSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new Error(`no result of a fanwire bench: ${z.prettifyError(parsed.error)}`);
}
