#!/usr/bin/env bash
# Makes a certificate authority of your own and a certificate of the gateway, for trying TLS out.
#
#   scripts/generate-ssl.sh [FOLDER] [NAME...]     default: nginx/certs, for localhost, 127.0.0.1 and ::1
#
# Leaves in FOLDER: ca.crt (give it to clients: curl --cacert), souk.crt and souk.key (to the gateway). The authority's key is
# thrown away, so nobody can ever sign anything else with it. What is there and valid for another month is kept, unless it is for
# other names. A shop on the internet takes its certificate from a public authority instead.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=${1:-nginx/certs}
[ $# -eq 0 ] || shift
names=(localhost 127.0.0.1 ::1 "$@")
days=825 # the longest that browsers accept

fail() {
  echo "generate-ssl: $*" >&2
  exit 1
}

command -v openssl >/dev/null || fail "openssl is missing"

alternatives=
for name in "${names[@]}"; do
  case $name in
    *[!0-9a-zA-Z.:*-]*) fail "$name is neither a host name nor an address" ;;
    *:* | *[0-9].*[0-9].*[0-9].*[0-9]) kind=IP ;;
    *) kind=DNS ;;
  esac
  alternatives+=${alternatives:+,}$kind:$name
done

if [ -s "$folder/souk.key" ] && [ -s "$folder/ca.crt" ] && [ -s "$folder/names" ] \
  && [ "$(cat "$folder/names")" = "$alternatives" ] \
  && openssl x509 -in "$folder/souk.crt" -noout -checkend $((30 * 24 * 3600)) >/dev/null 2>&1; then
  echo "generate-ssl: $folder/souk.crt is still good" >&2
  exit 0
fi

umask 077 # keys are for their owner only, from the first byte on
mkdir -p "$folder"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

cat >"$scratch/extensions" <<END
[authority]
basicConstraints = critical, CA:true, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[gateway]
basicConstraints = critical, CA:false
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = $alternatives
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
END

# sign NAME SECTION SUBJECT [option of openssl x509...]
sign() {
  local name=$1 section=$2 subject=$3
  shift 3
  openssl ecparam -name prime256v1 -genkey -noout -out "$scratch/$name.key"
  openssl req -new -sha256 -key "$scratch/$name.key" -subj "$subject" -out "$scratch/$name.csr"
  openssl x509 -req -sha256 -days "$days" -in "$scratch/$name.csr" -set_serial "0x$(openssl rand -hex 16)" \
    -extfile "$scratch/extensions" -extensions "$section" -out "$scratch/$name.crt" "$@" 2>"$scratch/log" \
    || fail "openssl: $(cat "$scratch/log")"
}

sign ca authority "/CN=Souk development authority" -signkey "$scratch/ca.key"
sign souk gateway "/CN=localhost" -CA "$scratch/ca.crt" -CAkey "$scratch/ca.key"

cp "$scratch/souk.key" "$folder/souk.key"
cp "$scratch/ca.crt" "$scratch/souk.crt" "$folder/"
printf '%s\n' "$alternatives" >"$folder/names"
chmod 600 "$folder/souk.key"
chmod 644 "$folder/ca.crt" "$folder/souk.crt" "$folder/names"
chmod 755 "$folder"
echo "generate-ssl: $folder/souk.crt for $alternatives, signed by $folder/ca.crt" >&2
