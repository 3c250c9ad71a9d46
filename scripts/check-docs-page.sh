#!/usr/bin/env bash
# Opens the pages of a running shop in a browser without a screen, and checks that they work under their content security policy;
# exit code 1 if one does not.
#
#   scripts/check-docs-page.sh ADDRESS
#
# Needs chromium (Debian: apt-get install chromium) and curl.
set -euo pipefail
[ $# -eq 1 ] || {
  sed -n 's/^#   //p' "$0" >&2
  exit 2
}
shop=${1%/}
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome) || {
  echo "there is no chromium here" >&2
  exit 2
}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failed=0

# open NAME ADDRESS: leaves the page as it is after its scripts in NAME.html, and what the browser said in NAME.log
open() {
  # Without its sandbox, as root has none; the pages are ours.
  timeout 60 "$browser" --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --user-data-dir="$scratch/profile" \
    --enable-logging=stderr --virtual-time-budget=20000 --dump-dom "$2" >"$scratch/$1.html" 2>"$scratch/$1.log" || true
}

# check WHAT COMMAND...
check() {
  local what=$1
  shift
  if "$@"; then
    echo "ok    $what"
  else
    failed=1
    echo "FAIL  $what"
  fi
}

obeys() { ! grep -E "Content Security Policy|Refused to" "$scratch/$1.log"; }
shows() { grep -q -- "$2" "$scratch/$1.html"; }
forbids() {
  local policy
  policy=$(curl -sS -o /dev/null -D - "$1" | tr -d '\r' | sed -n 's/^content-security-policy: //Ip')
  case $policy in
    *"script-src"* | *"unsafe-eval"*) return 1 ;;
    *"default-src 'self'"*"frame-ancestors 'none'"*) return 0 ;;
    *) return 1 ;;
  esac
}

# That a breach is heard at all: a page of ours with a script that its policy does not allow.
cat >"$scratch/planted.html" <<'END'
<!doctype html><meta http-equiv="Content-Security-Policy" content="default-src 'self'"><script>document.title = "ran"</script>
END
open breach "file://$scratch/planted.html"
if obeys breach >/dev/null; then
  echo "FAIL  this browser does not say when a page breaks its policy" >&2
  exit 1
fi

for module in auth users catalog cart inventory orders payments notifications; do
  open "$module" "$shop/$module/docs"
  check "/$module/docs shows its operations" shows "$module" "data-path=\"/$module"
  check "/$module/docs obeys its policy" obeys "$module"
  check "/$module/docs may load scripts from the shop only, and may not be framed" forbids "$shop/$module/docs"
done
for page in docs docs/errors; do
  open page "$shop/$page"
  check "/$page has its table" shows page "<table>"
  check "/$page obeys its policy" obeys page
done
exit "$failed"
