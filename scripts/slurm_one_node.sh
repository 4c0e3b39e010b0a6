#!/usr/bin/env bash
# Runs a command on a SLURM of this machine alone, which lives as long as the command:
#     scripts/slurm_one_node.sh python run.py -m table=vq_table2 scale=smoke hydra/launcher=slurm
# Needs Debian's packages slurm-wlm and munge, and root (the daemons start jobs as the one who submits them).
# Nothing outside a temporary folder is written; a SLURM that is there already is left alone.
set -euo pipefail

[ $# -gt 0 ] || { sed -n '2,5s/^# //p' "$0"; exit 2; }
for program in munged slurmctld slurmd sinfo; do
    command -v "$program" > /dev/null || { echo "$program is missing: apt-get install slurm-wlm munge" >&2; exit 2; }
done
[ "$(id -u)" = 0 ] || { echo "run it as root, in a container for instance" >&2; exit 2; }

folder=$(mktemp -d /tmp/slurm-one-node.XXXXXX)
daemons=()
stop() {
    kill "${daemons[@]}" 2> /dev/null || true
    wait 2> /dev/null || true
    rm -rf "$folder"
}
trap stop EXIT

mkdir -m 755 "$folder"/{munge,state,spool}
chmod 755 "$folder"
(umask 077; head -c 128 /dev/urandom > "$folder/munge/key")
cpus=$(nproc)
memory=$(awk '/MemTotal/ {print int($2 / 1024 * 0.9)}' /proc/meminfo)
cat > "$folder/slurm.conf" << CONF
ClusterName=one
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmctldPort=${SLURM_ONE_NODE_PORT:-16817}
SlurmdPort=$((${SLURM_ONE_NODE_PORT:-16817} + 1))
AuthType=auth/munge
AuthInfo=socket=$folder/munge/socket
SlurmUser=root
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
MpiDefault=none
ReturnToService=2
NodeName=$(hostname -s) NodeAddr=127.0.0.1 CPUs=$cpus RealMemory=$memory State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
export SLURM_CONF=$folder/slurm.conf

munged --foreground --force --key-file="$folder/munge/key" --socket="$folder/munge/socket" \
    --pid-file="$folder/munge/pid" --log-file="$folder/munge/log" --seed-file="$folder/munge/seed" 2> /dev/null &
daemons+=($!)
slurmctld -D -i > /dev/null 2>&1 &
daemons+=($!)
slurmd -D > /dev/null 2>&1 &
daemons+=($!)

for _ in $(seq 60); do
    sinfo --noheader --states=idle --format=%t 2> /dev/null | grep -q idle && ready=yes && break
    sleep 1
done
[ "${ready:-}" ] || { echo "SLURM did not start:" >&2; tail -n 5 "$folder"/*.log >&2; exit 1; }
"$@"
