// Bundles src/ into the one file that anywidget loads, and checks that the committed one is current.
import { build } from "esbuild";
import { createHash } from "node:crypto";
import { readFile, readdir, writeFile } from "node:fs/promises";

const OUT = new URL("../rlm/render/static/", import.meta.url);
const LIMIT = 120 * 1024;

const SOURCES = new URL("src/", import.meta.url);
const hash = createHash("sha256");
for (const name of (await readdir(SOURCES)).sort()) hash.update(name).update("\0").update(await readFile(new URL(name, SOURCES))).update("\0");
hash.update(await readFile(new URL("package-lock.json", import.meta.url)));
const sources = hash.digest("hex");

// By its first line a machine without Node can still tell that a built file was made from these
// sources, and that nobody has changed it since.
const signed = (contents) => {
  const built = createHash("sha256").update(contents).digest("hex");
  return Buffer.concat([Buffer.from(`/* made by widgets/build.js from sources ${sources}, below is ${built} */\n`), contents]);
};

const { outputFiles } = await build({
  entryPoints: { viewer: "src/index.js" },
  absWorkingDir: new URL(".", import.meta.url).pathname,
  bundle: true,
  format: "esm",
  target: "es2022",
  minify: true,
  charset: "utf8",
  legalComments: "none",
  outdir: "out",
  write: false,
});

let stale = false;
let size = 0;
for (const file of outputFiles) {
  const name = file.path.split("/").at(-1);
  const contents = signed(file.contents);
  const target = new URL(name, OUT);
  size += contents.length;
  if (process.argv.includes("--check")) {
    const committed = await readFile(target).catch(() => null);
    if (committed === null || Buffer.compare(committed, contents) !== 0) {
      console.error(`rlm/render/static/${name} is not what widgets/src makes: run "npm run build".`);
      stale = true;
    }
  } else {
    await writeFile(target, contents);
  }
}
console.log(`${(size / 1024).toFixed(1)} KB of ${LIMIT / 1024}`);
if (size > LIMIT) console.error("The bundle is too big.");
process.exit(stale || size > LIMIT ? 1 : 0);
