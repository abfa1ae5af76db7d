import { z } from "zod";

/**
 * What a key's `.meta` may say besides its description. All of it comes out in the table of `fanwire config --help`.
 */
export interface KeyMeta {
  readonly description: string;
  /** What is allowed, where type and bounds do not say it. */
  readonly allowed?: string;
  /** The default in words, where it differs from run to run. */
  readonly defaultText?: string;
  /** Never shown. */
  readonly secret?: boolean;
  /** A second name for environment and flag, in the form of a key. */
  readonly alias?: string;
}

/** A key with its meaning. */
export const key = <T extends z.ZodType>(type: T, meta: KeyMeta): T => type.meta({ ...meta });

/** A key for an integer within bounds. */
export const integer = (min: number, max: number, standard: number, description: string) =>
  key(z.int().min(min).max(max).default(standard), { description });
