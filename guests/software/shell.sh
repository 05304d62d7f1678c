# Runs under busybox's shell, with busybox's programs alone on the path; prints the same anywhere.
set -eu
printf 'abc' | sha256sum
yes 'The quick brown fox jumps over the lazy dog.' | head -n 20000 | sha256sum
seq 1 30000 | awk '{ sum += $1 * $1; odd += $1 % 2 } END { printf "%.0f %d %.6f\n", sum, odd, sum / 7 }'
seq 1 5000 | sed 's/7/seven/g' | tr a-z A-Z | sort -r | uniq | tail -n 3
work=$(mktemp -d)
cd "$work"
mkdir -p tree/one/two
seq 1 20000 > tree/one/numbers
cp tree/one/numbers tree/one/two/copy
ln -s ../numbers tree/one/two/link
tar -c tree/one/numbers tree/one/two | gzip -9 | gunzip | tar -t
gzip -c tree/one/numbers > packed.gz
gunzip -c packed.gz | cmp - tree/one/two/link && echo 'unpacked the same'
bzip2 -c tree/one/numbers | bunzip2 -c | md5sum
find tree -type f | sort | xargs wc -c
diff tree/one/numbers tree/one/two/copy && echo 'no difference'
mkfifo pipe
(seq 1 1000 | grep -c 9 > pipe) &
cat pipe
wait
trap 'echo caught the signal' USR1
kill -USR1 $$
fibonacci() {
    if [ "$1" -lt 2 ]; then echo "$1"; else
        echo $(($(fibonacci $(($1 - 1))) + $(fibonacci $(($1 - 2)))))
    fi
}
echo "fibonacci: $(fibonacci 8)"
sleep 1 & sleep 1 & wait
(exit 3) || echo "status $?"
cd /
rm -r "$work"
