#!/bin/sh
# Packs the package, installs it in an empty project outside of the repository, as its users
# would, and uses it there: from JavaScript as it is, and from TypeScript with its strict compiler.
set -eu

here=$(pwd)
project=$(mktemp -d)
trap 'rm -rf "$project"' EXIT

npm pack --silent --pack-destination "$project" >/dev/null
cd "$project"
mv ./*.tgz interlock.tgz
cat >package.json <<'END'
{ "name": "empty", "private": true, "type": "module" }
END
npm install --silent --no-package-lock ./interlock.tgz

cat >plain.mjs <<'END'
import { Client, parseJson } from "@interlock-dev/interlock";
import { RunState } from "@interlock-dev/interlock/v1";
if (parseJson("9007199254740993") !== 9007199254740993n || RunState.PAUSED !== 3) {
  throw new Error("this is not the package");
}
new Client("localhost:50051").close();
END
node plain.mjs

npm install --silent --no-package-lock "typescript@$(node -p "require('$here/package.json').devDependencies.typescript")" \
  "@types/node@$(node -p "require('$here/package.json').devDependencies['@types/node']")"
cp "$here/tools/package-test.ts" program.ts
npx --no-install tsc --strict --exactOptionalPropertyTypes --skipLibCheck false \
  --target es2022 --module nodenext --lib es2023,esnext.disposable,dom --types node program.ts
node program.js
