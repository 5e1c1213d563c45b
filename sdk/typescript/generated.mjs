// Brings what `make gen` wrote of the contract into the package: a package holds its own files only.
import { cpSync, rmSync } from "node:fs";

for (const folder of ["src/gen", "dist"]) rmSync(folder, { recursive: true, force: true });
cpSync("../../gen/typescript", "src/gen", { recursive: true });
