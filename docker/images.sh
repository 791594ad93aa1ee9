#!/usr/bin/env bash
# Gets the images of the container lab: pulls them, and builds stand-ins out of Debian packages where no registry answers.
# What was built is noted in .env, which `docker compose` reads by itself. Does nothing for images that are there.
set -euo pipefail
cd "$(dirname "$0")/.."

base=failstorm/python-base:bookworm
prometheus=failstorm/prometheus:bookworm
mark='# Written by `make images` of Fail-Storm: images built here because no registry had them. Safe to delete.'
client=${DOCKER:-$(PATH=/usr/bin:$PATH command -v docker || true)}

fail() { echo "fail-storm: $*" >&2; exit 1; }
have() { "$client" image inspect "$1" >/dev/null 2>&1; }
[[ $client ]] && "$client" version >/dev/null 2>&1 || fail "expected a Docker engine, none answers; on Debian: sudo make engine"

build_base() {
    [[ $(id -u) == 0 ]] || fail "expected root to build a base image without a registry; run: sudo make images"
    command -v mmdebstrap >/dev/null || { apt-get update -qq; DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends mmdebstrap; }
    local site trust=()
    site=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | grep -v -- '-security/\?$' | head -n 1)
    # Certificates that this machine's administrator added hold in the image as well: a proxy that inspects TLS is
    # trusted inside exactly where it is outside.
    if compgen -G '/usr/local/share/ca-certificates/*.crt' >/dev/null; then
        trust=(--customize-hook='copy-in /usr/local/share/ca-certificates /usr/local/share'
               --customize-hook='chroot "$1" update-ca-certificates >/dev/null 2>&1')
    fi
    mmdebstrap --quiet --mode=root --variant=minbase --components=main --aptopt='Acquire::Check-Valid-Until "false"' \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/info/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        --include=ca-certificates,python3,python3-venv,python3-pip,python-is-python3 \
        "${trust[@]}" --customize-hook='rm -rf "$1"/var/log/* "$1"/var/cache/* "$1"/usr/lib/python3*/EXTERNALLY-MANAGED' \
        bookworm - "$site" |
        "$client" import --change 'ENV LANG=C.UTF-8 PATH=/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin' \
            --change 'CMD ["python3"]' - "$base" >/dev/null
}

build_prometheus() {
    "$client" build --quiet --build-arg "BASE_IMAGE=$1" --tag "$prometheus" --file docker/Dockerfile.prometheus docker >/dev/null
}

notes=()
# provide VARIABLE WANTED STAND-IN BUILDER...
provide() {
    local variable=$1 wanted=$2 standin=$3; shift 3
    if have "$wanted" || "$client" pull --quiet "$wanted" >/dev/null 2>&1; then
        echo "fail-storm: have $wanted"
    else
        have "$standin" || { echo "fail-storm: no registry has $wanted; building $standin"; "$@"; }
        echo "fail-storm: have $standin in place of $wanted"
        notes+=("$variable=$standin")
    fi
}

default() { sed -n "s/.*\${$1:-\([^}]*\)}.*/\1/p" compose.yaml | head -n 1; }
provide BASE_IMAGE "${BASE_IMAGE:-$(default BASE_IMAGE)}" "$base" build_base
provide PROMETHEUS_IMAGE "${PROMETHEUS_IMAGE:-$(default PROMETHEUS_IMAGE)}" "$prometheus" build_prometheus "$base"
grafana=${GRAFANA_IMAGE:-$(default GRAFANA_IMAGE)}
if have "$grafana" || "$client" pull --quiet "$grafana" >/dev/null 2>&1; then
    echo "fail-storm: have $grafana"
else
    echo "fail-storm: no registry has $grafana, and there is no stand-in for it; the lab runs without Grafana"
    notes+=("GRAFANA_COUNT=0" "GRAFANA_PULL=never")
fi

if [[ -e .env ]] && ! grep -qxF "$mark" .env; then
    [[ ${#notes[@]} == 0 ]] || fail "expected .env to be free, got one of your own; add to it: ${notes[*]}"
elif [[ ${#notes[@]} == 0 ]]; then
    rm -f .env
else
    printf '%s\n' "$mark" "${notes[@]}" > .env
fi
