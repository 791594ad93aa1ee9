#!/usr/bin/env bash
# Gives a Debian machine a Docker engine with compose and buildx: installs what is missing, starts what stands still.
# Run as root; does nothing where an engine answers. The packages are Debian's own, signed by Debian.
set -euo pipefail

packages=(docker.io docker-cli docker-compose docker-buildx)
state=${FAILSTORM_ENGINE_DIR:-/var/lib/docker}           # images and containers
address=${DOCKER_HOST:-unix:///var/run/docker.sock}
client=$(PATH=/usr/bin:$PATH command -v docker || true)  # Debian's before any other

fail() { echo "fail-storm: $*" >&2; exit 1; }
answers() { [[ $client ]] && DOCKER_HOST=$address "$client" version >/dev/null 2>&1; }
complete() { [[ $client ]] && command -v dockerd >/dev/null && "$client" compose version >/dev/null 2>&1 && "$client" buildx version >/dev/null 2>&1; }
has_init() { [[ -d /run/systemd/system ]]; }

# The mirror that apt uses already, without the security archive; empty before the first `apt-get update`.
mirror() { apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | grep -v -- '-security/\?$' | head -n 1; }

install_engine() {
    [[ $(id -u) == 0 ]] || fail "expected root to install an engine; run: sudo make engine"
    local release suite site
    release=$(. /etc/os-release && echo "${ID:-}-${VERSION_CODENAME:-}")
    [[ $release == debian-* ]] || fail "expected Debian, got ${release%-*}; install Docker with compose 2.24.4 or newer as docs.docker.com says"
    # bookworm has no compose v2: the four packages, and nothing else, come from the stable suite after it.
    suite=${release#debian-}
    if [[ $suite == bookworm ]]; then
        suite=trixie
        site=$(mirror || true)
        [[ $site ]] || { apt-get update -qq; site=$(mirror); }
        printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n' \
            "$site" "$suite" > "/etc/apt/sources.list.d/docker-$suite.sources"
        printf 'Package: *\nPin: release n=%s\nPin-Priority: 50\n\nPackage: %s\nPin: release n=%s\nPin-Priority: 600\n' \
            "$suite" "${packages[*]}" "$suite" > "/etc/apt/preferences.d/docker-$suite"
    fi
    apt-get update -qq
    local guard=/usr/sbin/policy-rc.d
    if ! has_init && [[ ! -e $guard ]]; then
        # Without an init system the package's own attempt to start the engine would fail the installation.
        printf '#!/bin/sh\nexit 101\n' > "$guard"
        chmod +x "$guard"
        trap 'rm -f "$guard"' RETURN
    fi
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends -o Dpkg::Use-Pty=0 "${packages[@]}"
    client=/usr/bin/docker
}

start_engine() {
    [[ $(id -u) == 0 ]] || fail "expected root to start the engine; run: sudo make engine"
    if has_init && [[ $address == unix:///var/run/docker.sock ]]; then
        systemctl enable --now docker
    else
        local pidfile=${FAILSTORM_ENGINE_PIDFILE:-/var/run/docker-failstorm.pid} log=$state/engine.log
        mkdir -p "$state"
        # The pid file of a killed engine keeps the next one from starting while its number is in use, even by a zombie.
        if [[ -s $pidfile ]] && ! ps -o comm=,stat= -p "$(<"$pidfile")" | grep -q '^dockerd *[^Z]'; then rm -f "$pidfile"; fi
        (
            # Nothing that this shell was given stays open in the engine: a lock, a pipe, make's job server.
            for descriptor in /proc/self/fd/*; do
                if ((${descriptor##*/} > 2)); then eval "exec ${descriptor##*/}>&-"; fi
            done
            # shellcheck disable=SC2086 # options, one word each
            exec setsid dockerd --host "$address" --data-root "$state" --pidfile "$pidfile" --log-level warn \
                ${FAILSTORM_ENGINE_OPTIONS:-} >> "$log" 2>&1 < /dev/null
        ) &
        local engine=$!
        for _ in $(seq 300); do
            if answers; then break; fi
            kill -0 "$engine" 2>/dev/null || { tail -n 5 "$log" >&2; fail "expected the engine to start, it ended; see $log"; }
            sleep 0.1
        done
    fi
    answers || fail "expected the engine to answer within 30 s, it does not; see its log"
}

complete || install_engine
answers || start_engine
echo "fail-storm: Docker engine $(DOCKER_HOST=$address "$client" version --format '{{.Server.Version}}'), compose $("$client" compose version --short)"
