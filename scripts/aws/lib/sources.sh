# shellcheck shell=bash
# Where the raw images come from, as one word that options, configuration files and machines share:
#
#   kaggle                  the competition's download, with the user's own token
#   torrent:ADDRESS         a .torrent file, its address, or a magnet link
#   https://… http://…      one archive
#   s3://BUCKET/PREFIX      a folder in S3
#   /FOLDER                 a folder on the machine itself

check_source() {
  case $1 in
  kaggle) ;;
  torrent:*) [[ ${1#torrent:} =~ ^(magnet:\?[A-Za-z0-9:=\&.%_+/-]+|https?://[A-Za-z0-9/._:%~?=\&+-]+|/[A-Za-z0-9/._@+-]+)$ ]] || die_usage "'$1' is no torrent: give torrent:magnet:?…, torrent:https://… or torrent:/FILE" ;;
  https://* | http://*) [[ $1 =~ ^https?://[A-Za-z0-9/._:%~?=\&+@-]+$ ]] || die_usage "'$1' is no address" ;;
  s3://*) [[ $1 =~ ^s3://[a-z0-9][a-z0-9.-]+(/[A-Za-z0-9/._-]*)?$ ]] || die_usage "'$1' is no S3 address" ;;
  /*) [[ $1 =~ ^/[A-Za-z0-9/._@+-]+$ ]] || die_usage "'$1' is no folder without odd characters in its name" ;;
  *) die_usage "source '$1' is none of kaggle, torrent:…, https://…, s3://…, /FOLDER" ;;
  esac
}
