# shellcheck shell=bash
# One trainer a run: the object `lease` in the store, made with If-None-Match and renewed with If-Match, so that S3
# itself decides who holds it. During a capacity rebalance the next machine starts before the old one ends: it waits.
#
# The object: `MACHINE RENEWED-AT`, both of the holder. A lease is free if it was released, if it was not renewed for
# lease_ttl_s, or if the instance that holds it is gone.
readonly lease_ttl_s=${IMGPACK_LEASE_TTL:-180}
lease_etag=

# lease_take MACHINE: dies with 3 if another machine holds it
lease_take() {
  local machine=$1 holder renewed
  printf '%s %s\n' "$machine" "$EPOCHSECONDS" >"$temp_folder/lease"
  if allow PreconditionFailed ConditionalRequestConflict -- store_put lease "$temp_folder/lease" --if-none-match '*'; then
    lease_etag=$store_etag
    return
  fi
  store_get lease "$temp_folder/lease-held" || die "$exit_state" "the lease of this run changes hands just now" "run the same command again"
  lease_etag=$aws_out
  read -r holder renewed <"$temp_folder/lease-held" || :
  [[ ${renewed:-} =~ ^[0-9]+$ ]] || renewed=0
  if [ "$holder" != "$machine" ] && ((EPOCHSECONDS - renewed < lease_ttl_s)) && machine_lives "$holder"; then
    die "$exit_state" "another machine trains this run: $holder (renewed $((EPOCHSECONDS - renewed)) s ago)" "this one tries again when that one has ended"
  fi
  [ "$holder" = "$machine" ] || say "the lease of $holder has run out: taking it over"
  allow PreconditionFailed ConditionalRequestConflict -- store_put lease "$temp_folder/lease" --if-match "$lease_etag" ||
    die "$exit_state" "another machine has just taken the lease of this run"
  lease_etag=$store_etag
}

# Machines outside of EC2 (a workstation) count as alive until their lease runs out.
machine_lives() {
  [[ $1 == i-* ]] || return 0
  read_instance "$1" || return 1
  case $instance_state in
  pending | running | stopping) return 0 ;;
  *) return 1 ;;
  esac
}

# lease_renew MACHINE: 1 if it was lost
lease_renew() {
  printf '%s %s\n' "$1" "$EPOCHSECONDS" >"$temp_folder/lease"
  allow PreconditionFailed ConditionalRequestConflict NoSuchKey 404 -- store_put lease "$temp_folder/lease" --if-match "$lease_etag" || return 1
  lease_etag=$store_etag
}

lease_release() {
  [ -n "$lease_etag" ] || return 0
  allow PreconditionFailed ConditionalRequestConflict NoSuchKey 404 -- aws_change s3api delete-object --bucket "$store_bucket" \
    --key "$store_prefix/lease" --if-match "$lease_etag" || detail "the lease was not ours any more"
  lease_etag=
}
