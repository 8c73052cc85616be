#!/bin/bash
# The first process of the node's namespaces (mount, network, PID): sets them up, then becomes a process that only waits. Whatever
# runs in the namespaces ends with it; mounts, bridges and firewall rules go with them.
# box.sh STATE_FOLDER PROBE|RUN
set -eu
dir=$1 conf=$1/conf

mount -t tmpfs tmpfs /run # containerd's and the CNI plugins' fixed paths, without those of the machine
mkdir -p /run/lock /run/sysctl

# The kubelet insists on some settings of the whole machine: it gets files of its own that already have what it wants.
for setting in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 \
  kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
  key=${setting%=*} own=/run/sysctl/${setting//[\/=]/_}
  [ -e "/proc/sys/$key" ] || continue
  echo "${setting#*=}" > "$own"
  mount --bind "$own" "/proc/sys/$key"
done

# Names: the machine's own files stay as they are, outside.
for name in hosts resolv.conf; do
  target=$(readlink -m "/etc/$name")
  case $target in /run/*) mkdir -p "${target%/*}" && touch "$target" ;; esac
  mount --bind "$conf/$name" "$target"
done

# The node's address must not be loopback, and no uplink exists: an empty bridge carries it.
ip link set lo up
ip link add node0 type bridge
ip addr add 10.250.0.1/32 dev node0
ip link set node0 up
ip route add 10.0.0.0/24 dev node0 # Services: the node needs a route before kube-proxy's rules can rewrite the address
echo 1 > /proc/sys/net/ipv4/ip_forward
[ -e /proc/sys/net/bridge/bridge-nf-call-iptables ] || modprobe br_netfilter 2> /dev/null || true
echo 1 > /proc/sys/net/bridge/bridge-nf-call-iptables
echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet # NodePorts on localhost

if [ "$2" = PROBE ]; then
  mkdir -p "$dir/probe"/{lower,upper,work,merged}
  ip link add veth-probe type veth peer name veth-peer
  iptables -t nat -L -n > /dev/null
  mount -t overlay overlay -o "lowerdir=$dir/probe/lower,upperdir=$dir/probe/upper,workdir=$dir/probe/work" "$dir/probe/merged"
  exit 0
fi
touch "$dir/box.ready"
exec "$dir/bin/pause"
