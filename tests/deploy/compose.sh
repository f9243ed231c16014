#!/usr/bin/env bash
# docker-compose.yml as a newcomer runs it: everything starts, a deal that is closed is on the topic, and what is killed comes
# back. It needs Docker with compose, makes a project of its own, and leaves nothing behind.
set -euo pipefail
cd "$(dirname "$0")/../.."
export COMPOSE_PROJECT_NAME=opportunities-test

say() { printf '\n== %s\n' "$*"; }

clean() {
    code=$?
    if [ $code -ne 0 ]; then docker compose ps --all; docker compose logs --tail 60; fi
    docker compose down --volumes --remove-orphans >/dev/null 2>&1
    exit $code
}
trap clean EXIT

field() { python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }

api() { curl --silent --show-error --fail --retry 20 --retry-delay 1 --retry-all-errors -H "Authorization: Bearer $token" "$@"; }

say 'everything starts'
docker compose up --build --wait --wait-timeout 300
docker compose ps

say 'an org, a deal, and its end'
token=$(docker compose run --rm --no-TTY api org create --name Acme --admin-email you@example.com | field token)
url=http://127.0.0.1:8000/api
account=$(api $url/accounts/ --json '{"name": "Acme Corp"}' | field id)
deal=$(api $url/opportunities/ --json '{"name": "Acme — Annual", "account_id": "'"$account"'", "amount": "24000", "currency": "USD",
  "stage": "discovery", "close_date": "2027-12-31"}' | field id)
api "$url/opportunities/$deal/transition/" --json '{"stage": "won", "actual_amount": 26000, "actual_close_date": "2026-11-20"}' >/dev/null

say 'it is on the topic'
# All there is, until nothing has come for a while: partitions come in any order, and a timeout is no failure of that script.
end=$((SECONDS + 90))
until docker compose exec -T kafka /opt/kafka/bin/kafka-console-consumer.sh --bootstrap-server localhost:9092 \
    --topic opportunities.events --from-beginning --timeout-ms 10000 2>/dev/null | grep -F '"opportunity.won"' | grep -F "$deal" >/dev/null; do
    if [ $SECONDS -gt $end ]; then echo 'the closed deal did not come' >&2; exit 1; fi
done
docker compose exec -T relay opportunities relay --check
docker compose exec -T webhooks opportunities webhooks --check

say 'the image: a user without rights, and a root that it need not write'
[ "$(docker compose exec -T api id -u)" = 10001 ]
docker run --rm --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges opportunities --help >/dev/null

say 'what is killed comes back with what it had'
# From outside: after `docker kill` Docker takes a container for one that somebody stopped.
for service in api relay webhooks postgres kafka; do
    sudo kill -KILL "$(docker inspect --format '{{.State.Pid}}' "$(docker compose ps --quiet $service)")"
done
end=$((SECONDS + 180))
for service in api relay webhooks postgres kafka; do
    id=$(docker compose ps --all --quiet $service)
    until docker inspect --format '{{.State.Health.Status}} {{.RestartCount}}' "$id" | grep -q '^healthy [1-9]'; do
        if [ $SECONDS -gt $end ]; then echo "$service did not come back" >&2; exit 1; fi
        sleep 1
    done
done
[ "$(api "$url/opportunities/$deal/" | field stage)" = won ]
docker compose exec -T relay opportunities relay --check

say 'passed'
