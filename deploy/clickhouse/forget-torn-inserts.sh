#!/bin/sh
# Has ClickHouse forget the inserts that its last end tore: run it on the data folder before every start.
#
# A table that is not replicated writes an insert's token into its deduplication log before it renames the
# insert's part to its own name. A server that is killed between the two remembers an insert that it does not
# have, and refuses it when it is sent again. Here each token of late whose part is not there, nor a part that
# it was merged into, gets the line by which ClickHouse itself forgets one: "2", part, token. Nothing that is
# there is touched, and a second run finds nothing to do.
#
# Replicated tables need none of this: Keeper takes token and part in one step.
set -eu

data=${1:?"usage: $0 DATA_FOLDER (of a ClickHouse that does not run)"}
# Tokens looked at in each table, from the newest: a kill tears one, a power cut those of some seconds.
recent=1000

# Prints what is to be added to the logs of the folder that it is called in.
torn() {
    { ls .. && cat "$@" | tail -n "$recent"; } | awk -F '\t' '
        # A part is called PARTITION_FIRST_LAST_LEVEL, with _VERSION behind it after a mutation.
        NF == 1 && /^[^_]+_[0-9]+_[0-9]+_[0-9]+(_[0-9]+)?$/ {
            split($1, name, "_")
            n = ++parts[name[1]]
            first[name[1], n] = name[2] + 0
            last[name[1], n] = name[3] + 0
        }
        NF == 3 && $1 == 1 { part_of[$3] = $2 }
        NF == 3 && $1 == 2 { delete part_of[$3] }
        END {
            for (token in part_of) {
                split(part_of[token], name, "_")
                there = 0
                for (n = 1; n <= parts[name[1]] && !there; n++)
                    there = first[name[1], n] <= name[2] + 0 && name[3] + 0 <= last[name[1], n]
                if (!there)
                    print "2\t" part_of[token] "\t" token
            }
        }'
}

cd "$data"
for logs in store/*/*/deduplication_logs; do
    [ -d "$logs" ] || continue # No table yet: the pattern stands for itself.
    (
        cd "$logs"
        # The newest log, and the one before: a table may have turned to an empty one with its last token.
        # shellcheck disable=SC2012,SC2046 # ClickHouse names these files; none has a space.
        set -- $(ls | sed 's/[^0-9]//g' | sort -n | tail -n 2 | sed 's/.*/deduplication_log_&.txt/')
        for log; do
            if [ -n "$(tail -c 1 "$log")" ]; then # A line that was never finished: neither was its insert.
                sed '$d' "$log" > ../tmp_deduplication_log
                mv ../tmp_deduplication_log "$log"
            fi
        done
        [ $# -gt 0 ] || exit 0
        found=$(torn "$@")
        [ -n "$found" ] || exit 0
        printf '%s\n' "$found" >> "$log"
        echo "$(basename "$0"): ClickHouse will take these again in ${logs%/*}:
$found" >&2
    )
done
