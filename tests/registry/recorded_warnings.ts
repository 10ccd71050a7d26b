import type { RegistryWarning } from "../../mod.ts";

/** An `onWarning` that records the warnings of a registry. */
export function recordWarnings(): {
  warnings: RegistryWarning[];
  onWarning: (warning: RegistryWarning) => void;
} {
  const warnings: RegistryWarning[] = [];
  return { warnings, onWarning: (warning) => warnings.push(warning) };
}
