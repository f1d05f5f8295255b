#!/bin/sh
# The first process of a guest of `cargo xtask vm`: runs the lab and switches the machine off. What it says goes to the
# second serial port, where the kernel does not interfere; report.rs reads it.
export PATH=/usr/bin:/bin HOME=/ RUST_BACKTRACE=1 TRACER_BIN=/usr/bin/tracer
# Nobody else uses this machine.
export TRACER_LAB_ALONE=1
# Emulation is slow.
export TRACER_LAB_SLOWNESS=6
/bin/busybox mount -t devtmpfs devtmpfs /dev
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t tracefs tracefs /sys/kernel/tracing
/bin/busybox mount -t tmpfs tmpfs /tmp
/bin/busybox mount -t tmpfs tmpfs /run
# The programs in /usr/bin go first.
/bin/busybox --install -s /bin
exec </dev/null >/dev/ttyS1 2>&1

# Should the host forget this machine, it ends all the same.
{ sleep "${time_limit:-600}"; poweroff -f; } &

while read -r module; do insmod "/modules/$module.ko"; done </modules/order
ip link set lo up

echo "::: tracer $(uname -r)"
tracer --port 9000 --events off --log-level debug &
tries=0
until wget -q -O /tmp/metrics http://127.0.0.1:9000/metrics || [ $tries -ge 20 ]; do
    tries=$((tries + 1))
    sleep 1
done
kill $!
wait $!
grep -E '^tracer_(coverage|probe_attached)' /tmp/metrics

echo "::: lab"
# The words of the file are the lab's flags.
tracer-lab lab $(cat /etc/lab)
status=$?
# Recordings go to the third serial port, whose terminal must not change them; recordings.rs takes them.
[ -d /tmp/recordings ] && { stty raw && tar -cz -C /tmp/recordings .; } </dev/ttyS2 >/dev/ttyS2
echo "::: end $status"
sync
poweroff -f
