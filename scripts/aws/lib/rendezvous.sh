# shellcheck shell=bash
# Several machines, one training: who they are and which one is the head. All of them ask EC2 for the machines of the
# project and sort them alike, by launch time and then id; the first is the head. No machine needs to be told anything.
readonly rendezvous_port=29500

# find_head COUNT -> head, head_address: waits until COUNT machines run
find_head() {
  wait_for "$1 training machines of '$opt_name' running" 10 enough_machines "$1"
  read_fields "$(LC_ALL=C sort -t $'\t' -k5,5 -k1,1 <<<"$found" | head -n 1)" head _ _ _ _ head_address
  [ -n "$head_address" ] || die "$exit_state" "machine $head has no private address"
}
enough_machines() {
  find_instances train
  found=$(awk -F '\t' '$2 == "running"' <<<"$found")
  [ -n "$found" ] && (($(wc -l <<<"$found") >= $1))
}

# rendezvous_command COUNT GPUS RUN -> rendezvous: what stands before `imgtrain …`
rendezvous_command() {
  rendezvous=(torchrun --no-python "--nnodes=$1" "--nproc-per-node=$2" "--rdzv-id=$3" --rdzv-backend=c10d
    "--rdzv-endpoint=$head_address:$rendezvous_port")
}
