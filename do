#!/usr/bin/env bash
# The project's commands: ./do run | test | check | fix | bench | chaos | simulate | docs | lock
# Needs Python 3.11 or newer and git; everything else goes into .venv, pinned by hash.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

venv=.venv
# Programs that the tests call, with the Debian package that has each.
chaos_programs=(cc:gcc gencat:libc6-dev)
test_programs=("${chaos_programs[@]}" node:nodejs npm:npm php:php-cli curl:curl chromium:chromium
    caddy:caddy haproxy:haproxy nginx:nginx faketime:faketime postfix:postfix pgbouncer:pgbouncer
    systemd-journal-remote:systemd-journal-remote systemd-analyze:systemd promtool:prometheus)

main() {
    local command=${1:-help}
    [ $# -eq 0 ] || shift
    case $command in
        run) runtime; exec "$venv/bin/postbell" demo "$@" ;;
        test) dev; programs "${test_programs[@]}"; tests "$@" ;;
        check) dev; check ;;
        fix) dev; fix ;;
        bench) dev; exec "$venv/bin/python" -m bench "$@" ;;
        chaos) dev; programs "${chaos_programs[@]}"; exec "$venv/bin/python" -m tests.chaos "$@" ;;
        simulate) dev; exec "$venv/bin/python" -m tests.simulation "$@" ;;
        docs) dev; exec "$venv/bin/python" -m tools.reference ;;
        lock) dev; lock "$@" ;;
        help | -h | --help) usage ;;
        *) usage >&2; die "no command '$command'" ;;
    esac
}

usage() {
    cat <<'EOF'
./do run [ARGS]     start the demo: service, receiver, webhooks and a stream of events
./do test [ARGS]    run the tests (ARGS go to pytest)
./do check          lint, format, types, import contracts, docs
./do fix            format, and mend what the linter can mend
./do bench [ARGS]   measure (--json, --quick, names of scenarios)
./do chaos [ARGS]   kill, freeze and fill the real service, turn its clock
                    (--seed N, --minutes M, --crowd N; or on PostgreSQL, whose servers
                    it disturbs, too: --engine postgres, --apis N, --workers N),
                    or with --power-loss look at thousands of disks after a loss of power
./do simulate [ARGS]
                    tell stories of several processes in one loop that a seed owns
                    (--seeds N, --from SEED, --trace)
./do docs           write the generated reference pages
./do lock           pin the dependencies anew
EOF
}

# All tests run on all cores, in one process more since some wait; chosen ones run in one process,
# where output and debugger work.  What they compiled they keep, whatever the environment says: a
# third of the work of each process that is started would be to compile it all again.
tests() {
    unset PYTHONDONTWRITEBYTECODE
    [ $# -gt 0 ] || set -- -n "$(($(getconf _NPROCESSORS_ONLN) + 1))" --dist worksteal
    exec "$venv/bin/python" -m pytest "$@"
}

check() {
    local failed=()
    step() {
        echo "-- $*"
        "$venv/bin/$@" || failed+=("$*")
    }
    step ruff check --quiet
    step ruff format --check --quiet
    step mypy --no-error-summary -p postbell
    step mypy --no-error-summary tools bench
    step lint-imports --no-logo --show-timings
    step python -m tools.check_docs
    [ ${#failed[@]} -eq 0 ] || die "failed:$(printf ' %s;' "${failed[@]}")"
    echo "-- all checks passed"
}

fix() {
    "$venv/bin/ruff" check --fix --quiet || true
    "$venv/bin/ruff" format --quiet
}

lock() {
    local compile=(uv pip compile --quiet --universal --python-version 3.11 --generate-hashes
        --no-emit-index-url --no-emit-find-links --no-header --no-annotate "$@")
    "$venv/bin/${compile[@]}" pyproject.toml --group build -o requirements.lock
    "$venv/bin/${compile[@]}" pyproject.toml --group dev -c requirements.lock -o requirements-dev.lock
}

# ---- the environment ---------------------------------------------------------------------------

runtime() {
    if ! is_installed requirements-dev.lock; then install requirements.lock; fi
    project
}

dev() {
    install requirements-dev.lock
    project
}

# What must be the same for a finished installation to be kept: this folder, the lock, the Python.
fingerprint() {
    { pwd && cat "$1" && cat "$venv/pyvenv.cfg"; } | git hash-object --stdin
}

is_installed() {
    [ -x "$venv/bin/python" ] && "$venv/bin/python" -c '' 2>/dev/null &&
        [ "$(cat "$venv/$1.done" 2>/dev/null)" = "$(fingerprint "$1")" ]
}

install() {
    if is_installed "$1"; then return; fi
    say "installing $1 into $venv (once; a minute or more)"
    make_venv
    rm -f "$venv"/*.done
    "$venv/bin/python" -m pip install --disable-pip-version-check --progress-bar off \
        --require-hashes -r "$1" | progress Collecting "$(grep -c '^[^ #].*==' "$1")"
    fingerprint "$1" >"$venv/$1.done"
}

project() {
    if is_installed pyproject.toml; then return; fi
    say "installing postbell itself into $venv"
    "$venv/bin/python" -m pip install -qq --disable-pip-version-check \
        --no-deps --no-build-isolation --editable .
    fingerprint pyproject.toml >"$venv/pyproject.toml.done"
}

# Make .venv where there is none, or where it is half made, moved or of a Python that went away.
make_venv() {
    local python
    if [ "$(cat "$venv/made-in" 2>/dev/null)" = "$PWD" ] &&
        "$venv/bin/python" -c '' 2>/dev/null; then return; fi
    python=$(find_python) || die "no Python 3.11 or newer found; install one or set PYTHON to it"
    rm -rf "$venv"
    if ! "$python" -m venv "$venv" >/dev/null 2>&1; then
        apt_install python3-venv || die "'$python -m venv' failed; install its venv module"
        "$python" -m venv --clear "$venv"
    fi
    echo "$PWD" >"$venv/made-in"
}

find_python() {
    local name
    for name in ${PYTHON:-} python3.13 python3.12 python3.11 python3 python; do
        "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null &&
            command -v "$name" && return
    done
    return 1
}

# ---- programs from Debian ----------------------------------------------------------------------

programs() {
    local row missing=()
    PATH=$PATH:/usr/sbin:/usr/lib/systemd  # where Debian puts servers, and not everybody looks
    for row in "$@"; do
        command -v "${row%%:*}" >/dev/null || missing+=("${row##*:}")
    done
    [ ${#missing[@]} -eq 0 ] || apt_install "${missing[@]}" ||
        die "the tests need these Debian packages: ${missing[*]} (apt-get install ${missing[*]})"
    local name
    for name in "${missing[@]}"; do quieten "$name"; done
}

# Debian starts a server that it installs; the tests start their own, on ports of their own.
quieten() {
    [ -d /run/systemd/system ] && systemctl cat "$1.service" >/dev/null 2>&1 || return 0
    systemctl disable --now --quiet "$1.service"
}

apt_install() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
    say "installing from Debian: $*"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq >/dev/null || return 1
    apt-get install -y -q --no-install-recommends "$@" | progress 'Setting up' ''
}

# Say every few seconds how far an installer is: it prints a line that begins with $1 for each
# package, of $2 in all where that is known.
progress() {
    local line count=0 next=$SECONDS
    while IFS= read -r line; do
        [[ $line != 'Installing collected packages'* ]] || say "  unpacking them"
        [[ $line == "$1 "* ]] || continue
        count=$((count + 1)) line=${line#"$1 "}
        [ "$SECONDS" -ge "$next" ] || continue
        say "  $count${2:+ of $2}: ${line%%[ (]*}"
        next=$((SECONDS + 3))
    done
}

say() { printf './do: %s\n' "$*" >&2; }

die() {
    say "$*"
    exit 1
}

main "$@"
