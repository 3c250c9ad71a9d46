#!/bin/sh
# Does the time of an answer tell who has an account? Asks a running shop thousands of times about known and unknown names, in random
# order, and compares. Start it with limits off and a low cost, so that the difference is not drowned in hashing:
#
#   SOUK__LIMITS__LOGIN_PER_MINUTE=0 SOUK__LIMITS__REGISTER_PER_MINUTE=0 SOUK__AUTH__BCRYPT_COST=4 \
#   SOUK__AUTH__MAX_FAILURES_PER_ACCOUNT=1000 SOUK__AUTH__MAX_FAILURES_PER_ACCOUNT_IN_ALL=1000 souk --data-dir "$(mktemp -d)"
#   scripts/measure-timing.sh http://127.0.0.1:8080 2000 login,forgot,registration
set -eu
exec python3 -u "$(dirname "$0")/measure_timing.py" "$@"
