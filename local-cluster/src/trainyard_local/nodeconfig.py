"""Configuration of the nodes' programs and of the machine's packet filter: pure."""

import json
from pathlib import Path

import yaml

from trainyard_local.layout import (
    HOST_BRIDGE,
    KUBELET_HEALTH_PORT,
    KUBELET_PORT,
    NETWORK,
    NFT_TABLE,
    PAUSE_IMAGE,
    PROXY_HEALTH_PORT,
    PROXY_METRICS_PORT,
    SERVICES,
    NodePlan,
)
from trainyard_local.partition import translation
from trainyard_local.pki import KeyPair

TARGET_LABEL = "trainyard.dev/target=true"
"""Label of nodes that may be trained on."""


def containerd_config(plan: NodePlan, *, runc: Path, cni_plugins: Path) -> str:
    """Configuration of a node's containerd, TOML.

    Parameters
    ----------
    plan : NodePlan
        The node.
    runc, cni_plugins : Path
        The runtime, and the folder of the network plugins.
    """
    cri = 'plugins."io.containerd.grpc.v1.cri"'

    def quoted(value: object) -> str:
        return json.dumps(str(value))

    return f"""version = 2
root = {quoted(plan.containerd_root)}
state = {quoted(plan.containerd_state)}
oom_score = 0
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
  "io.containerd.internal.v1.tracing",
  "io.containerd.tracing.processor.v1.otlp",
]

[grpc]
  address = {quoted(plan.socket)}

[plugins."io.containerd.internal.v1.opt"]
  path = {quoted(plan.containerd / "opt")}

[{cri}]
  # Where the machine grants no CAP_SYS_RESOURCE, runc cannot lower an OOM score.
  restrict_oom_score_adj = true
  tolerate_missing_hugetlb_controller = true
  # Under our own folder, so that all of it is found again when a node is taken down.
  netns_mounts_under_state_dir = true
  sandbox_image = {quoted(PAUSE_IMAGE)}
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  [{cri}.containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [{cri}.containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [{cri}.containerd.runtimes.runc.options]
        BinaryName = {quoted(runc)}
        Root = {quoted(plan.containerd / "runc")}
        SystemdCgroup = false
  [{cri}.cni]
    bin_dir = {quoted(cni_plugins)}
    conf_dir = {quoted(plan.containerd / "cni")}
"""


def cni_config(plan: NodePlan) -> str:
    """Pod network of a node, JSON.

    Each pod hangs on a link of its own and reaches every other through the host's routes: answers
    of a Service on the same node then pass the host too, with or without br_netfilter.

    Parameters
    ----------
    plan : NodePlan
        The node.
    """
    ptp = {
        "type": "ptp",
        # Without masquerading nothing of a pod could even be answered from outside.
        "ipMasq": False,
        "ipam": {
            "type": "host-local",
            "dataDir": str(plan.addresses_in_use),
            "ranges": [[{"subnet": plan.pods}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    config = {"cniVersion": "0.4.0", "name": plan.network_name, "plugins": [ptp]}
    return json.dumps(config, indent=2) + "\n"


def kubelet_config(plan: NodePlan, *, authority: Path, server: KeyPair, resolver: Path) -> str:
    """Configuration of a node's kubelet, YAML.

    Parameters
    ----------
    plan : NodePlan
        The node.
    authority : Path
        Certificate of the authority of clients.
    server : KeyPair
        What the kubelet shows to the API server.
    resolver : Path
        The pods' resolv.conf.
    """
    config = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": plan.address,
        "port": KUBELET_PORT,
        "readOnlyPort": 0,
        "healthzBindAddress": plan.address,
        "healthzPort": KUBELET_HEALTH_PORT,
        "tlsCertFile": str(server.certificate),
        "tlsPrivateKeyFile": str(server.key),
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(authority)},
        },
        "authorization": {"mode": "Webhook"},
        "containerRuntimeEndpoint": f"unix://{plan.socket}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": plan.cgroup,
        "cgroupsPerQOS": True,
        "enforceNodeAllocatable": ["pods"],
        "oomScoreAdj": 0,
        "makeIPTablesUtilChains": False,
        "maxPods": 60,
        "podLogsDir": str(plan.pod_logs),
        "volumePluginDir": str(plan.kubelet / "volume-plugins"),
        "resolvConf": str(resolver),
        "clusterDomain": "cluster.local",
        # No registry could give a collected image back, and a disk that is 80% full is no reason
        # to evict on a machine that is somebody's own.
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "1Gi",
            "imagefs.available": "1Gi",
        },
    }
    return yaml.safe_dump(config, sort_keys=False)


def kubelet_command(program: Path, plan: NodePlan, config: Path, access: Path) -> tuple[str, ...]:
    """Command of a node's kubelet.

    Parameters
    ----------
    program : Path
        The kubelet.
    plan : NodePlan
        The node.
    config, access : Path
        Its configuration and its kubeconfig.
    """
    return (
        str(program),
        f"--config={config}",
        f"--kubeconfig={access}",
        f"--hostname-override={plan.name}",
        f"--node-ip={plan.address}",
        f"--node-labels={TARGET_LABEL}",
        f"--root-dir={plan.kubelet}",
        f"--cert-dir={plan.kubelet / 'pki'}",
    )


def proxy_config(access: Path, hostname: str) -> str:
    """Configuration of kube-proxy, YAML: one for all nodes, for they share the host's network.

    Parameters
    ----------
    access : Path
        Its kubeconfig.
    hostname : str
        Name of the node whose endpoints it takes for local.
    """
    config = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clientConnection": {"kubeconfig": str(access)},
        "clusterCIDR": NETWORK,
        "hostnameOverride": hostname,
        "oomScoreAdj": 0,
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
        },
        "healthzBindAddress": f"127.0.0.1:{PROXY_HEALTH_PORT}",
        "metricsBindAddress": f"127.0.0.1:{PROXY_METRICS_PORT}",
    }
    return yaml.safe_dump(config, sort_keys=False)


def packet_filter() -> str:
    """Rules that keep the cluster's traffic on the machine, for ``nft -f``; repeating is harmless.

    Forwarding is on while the cluster is up, so that pods reach one another: without these rules a
    pod could reach the outside by the machine's default route, and the outside could reach pods.
    """
    ours = f"{{ {NETWORK}, {SERVICES} }}"
    inside = f'{{ "lo", "{HOST_BRIDGE}", "veth*" }}'
    return f"""table inet {NFT_TABLE} {{}}
delete table inet {NFT_TABLE}
table inet {NFT_TABLE} {{
  chain forward {{
    type filter hook forward priority filter - 10; policy accept;
    iifname "veth*" fib saddr . iif oif missing counter drop comment "a pod's forged sender"
    ip saddr {NETWORK} ip daddr {NETWORK} accept
    ip saddr {ours} counter reject with icmp admin-prohibited comment "pods stay inside"
    ip daddr {ours} counter drop comment "nobody comes in"
  }}
  chain input {{
    type filter hook input priority filter - 10; policy accept;
    ip daddr {ours} iifname != {inside} counter drop comment "nobody comes in"
  }}
  chain output {{
    type filter hook output priority filter - 10; policy accept;
    ip daddr {ours} oifname != {inside} counter drop comment "nothing goes out"
  }}
  chain translate {{
    type nat hook output priority -100; policy accept;
    {translation()}
  }}
}}
"""
