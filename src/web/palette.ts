const NAMES = ["text", "muted", "faint", "line", "grid", "panel", "up", "down", "accent", "second"] as const;

/** The style sheet's colours, for what is drawn on a canvas. */
export type Palette = { readonly [Name in (typeof NAMES)[number]]: string };

type Theme = "light" | "dark";

const KEPT = "fanwire-theme";

/** The page's theme: the system's until the visitor chooses one, then that one. */
export class Themes {
  #palette: Palette = readPalette();
  readonly #listeners: (() => void)[] = [];

  constructor() {
    const system = matchMedia("(prefers-color-scheme: light)");
    system.addEventListener("change", () => this.#apply());
    this.#apply();
  }

  get palette(): Palette {
    return this.#palette;
  }

  get theme(): Theme {
    const chosen = document.documentElement.dataset.theme;
    if (chosen === "light" || chosen === "dark") return chosen;
    return matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark";
  }

  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  toggle(): void {
    const theme = this.theme === "dark" ? "light" : "dark";
    document.documentElement.dataset.theme = theme;
    keep(theme);
    this.#apply();
  }

  #apply(): void {
    this.#palette = readPalette();
    for (const listener of this.#listeners) listener();
  }
}

/** Applies the theme chosen earlier; called before the first drawing. */
export function restoreTheme(): void {
  const kept = storage(() => localStorage)?.getItem(KEPT);
  if (kept === "light" || kept === "dark") document.documentElement.dataset.theme = kept;
}

function keep(theme: Theme): void {
  storage(() => localStorage)?.setItem(KEPT, theme);
}

/** A storage, or undefined where the browser forbids it: the page works without. */
export function storage(get: () => Storage): Storage | undefined {
  try {
    return get();
  } catch {
    return undefined;
  }
}

function readPalette(): Palette {
  const style = getComputedStyle(document.documentElement);
  const entries = NAMES.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]);
  return Object.fromEntries(entries) as Palette;
}
