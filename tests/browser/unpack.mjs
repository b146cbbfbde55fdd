// The pinned Chromium, out of the package's archives and into node_modules/.chromium, whole or not at all.
import { execFileSync } from "node:child_process";
import { chmodSync, createReadStream, createWriteStream, mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { fileURLToPath } from "node:url";
import { createBrotliDecompress } from "node:zlib";

const modules = join(dirname(fileURLToPath(import.meta.url)), "node_modules");
const from = join(modules, "@sparticuz", "chromium", "bin");
const draft = join(modules, ".chromium.new");
const to = join(modules, ".chromium");

rmSync(draft, { recursive: true, force: true });
mkdirSync(draft);
for (const name of ["chromium", "al2023.tar", "swiftshader.tar", "fonts.tar"]) {
  await pipeline(createReadStream(join(from, `${name}.br`)), createBrotliDecompress(), createWriteStream(join(draft, name)));
}
for (const name of ["al2023.tar", "swiftshader.tar", "fonts.tar"]) {
  execFileSync("tar", ["-xf", join(draft, name), "-C", draft]);
  rmSync(join(draft, name));
}
// its own list of folders is of another machine; the machine's fonts first, the packed one where it has none
const fonts = ["/usr/share/fonts", join(to, "fonts")].map((dir) => `<dir>${dir}</dir>`).join("");
writeFileSync(join(draft, "fonts.conf"), `<?xml version="1.0"?><fontconfig>${fonts}<cachedir>${join(to, "cache")}</cachedir></fontconfig>\n`);
chmodSync(join(draft, "chromium"), 0o755);
rmSync(to, { recursive: true, force: true });
renameSync(draft, to);
