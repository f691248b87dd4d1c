// Writes every TypeScript snippet of the README to readme/, where the compiler checks it.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";

const text = readFileSync("README.md", "utf8");
rmSync("readme", { recursive: true, force: true });
mkdirSync("readme", { recursive: true });
let number = 0;
for (const [, code] of text.matchAll(/^```ts\n([\s\S]*?)^```$/gm)) {
  number += 1;
  writeFileSync(`readme/snippet${number}.ts`, code);
}
