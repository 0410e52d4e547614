"""Command lines of the control plane's programs: pure."""

from dataclasses import dataclass
from pathlib import Path

from trainyard_local.pki import KeyPair


@dataclass(frozen=True)
class Endpoints:
    """Addresses and ports of one control plane.

    Attributes
    ----------
    api_address : str
        Where the API server listens.
    api_port, etcd_port, etcd_peer_port, controllers_port, scheduler_port : int
        All but the first on loopback: etcd has no authentication.
    advertised : str or None
        Address that pods find behind the Service ``kubernetes``; None without pods.
    service_range : str
        Subnet of the ClusterIPs.
    pod_range : str
        Subnet of the pods of all nodes.
    """

    api_address: str
    api_port: int
    etcd_port: int
    etcd_peer_port: int
    controllers_port: int
    scheduler_port: int
    advertised: str | None
    service_range: str
    pod_range: str

    @property
    def api_url(self) -> str:
        """URL of the API server."""
        return f"https://{self.api_address}:{self.api_port}"

    @property
    def etcd_url(self) -> str:
        """URL of etcd."""
        return f"http://127.0.0.1:{self.etcd_port}"


@dataclass(frozen=True)
class Certificates:
    """All that the control plane shows and trusts.

    Attributes
    ----------
    authority : Path
        Certificate of the authority.
    api_server, loopback : KeyPair
        Server certificates: of the API server, and of what listens on loopback.
    kubelet_client : KeyPair
        With which the API server visits kubelets.
    tokens : KeyPair
        Keys of service-account tokens.
    """

    authority: Path
    api_server: KeyPair
    loopback: KeyPair
    kubelet_client: KeyPair
    tokens: KeyPair


# RFC 5737 documentation address: with no reconciler it is written nowhere, but one must be given.
_NO_ADDRESS = "198.51.100.1"


def etcd(program: Path, data: Path, endpoints: Endpoints) -> tuple[str, ...]:
    """Command of etcd.

    Parameters
    ----------
    program, data : Path
        The program, and its data folder.
    endpoints : Endpoints
        Its ports.
    """
    peer = f"http://127.0.0.1:{endpoints.etcd_peer_port}"
    return (
        str(program),
        "--name=local",
        f"--data-dir={data}",
        f"--listen-client-urls={endpoints.etcd_url}",
        f"--advertise-client-urls={endpoints.etcd_url}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=local={peer}",
        # The data lives as long as one `up`: nothing is lost that a power cut would not end too.
        "--unsafe-no-fsync",
        "--log-level=warn",
    )


def api_server(
    program: Path, folder: Path, endpoints: Endpoints, certificates: Certificates
) -> tuple[str, ...]:
    """Command of kube-apiserver.

    Parameters
    ----------
    program, folder : Path
        The program, and where it may write.
    endpoints : Endpoints
        Its addresses.
    certificates : Certificates
        Its certificates.
    """
    reconciler = () if endpoints.advertised else ("--endpoint-reconciler-type=none",)
    return (
        str(program),
        f"--etcd-servers={endpoints.etcd_url}",
        f"--bind-address={endpoints.api_address}",
        f"--secure-port={endpoints.api_port}",
        f"--advertise-address={endpoints.advertised or _NO_ADDRESS}",
        *reconciler,
        f"--cert-dir={folder}",
        f"--tls-cert-file={certificates.api_server.certificate}",
        f"--tls-private-key-file={certificates.api_server.key}",
        f"--client-ca-file={certificates.authority}",
        f"--kubelet-certificate-authority={certificates.authority}",
        f"--kubelet-client-certificate={certificates.kubelet_client.certificate}",
        f"--kubelet-client-key={certificates.kubelet_client.key}",
        "--kubelet-preferred-address-types=InternalIP",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={certificates.tokens.certificate}",
        f"--service-account-signing-key-file={certificates.tokens.key}",
        f"--service-cluster-ip-range={endpoints.service_range}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        "--profiling=false",
    )


def controller_manager(
    program: Path, kubeconfig: Path, endpoints: Endpoints, certificates: Certificates
) -> tuple[str, ...]:
    """Command of kube-controller-manager.

    Parameters
    ----------
    program, kubeconfig : Path
        The program, and its way to the API server.
    endpoints : Endpoints
        Its port.
    certificates : Certificates
        Its certificates.
    """
    return (
        str(program),
        *_client(kubeconfig, endpoints.controllers_port, certificates.loopback),
        f"--service-account-private-key-file={certificates.tokens.key}",
        f"--root-ca-file={certificates.authority}",
        "--use-service-account-credentials=true",
        f"--cluster-cidr={endpoints.pod_range}",
        "--allocate-node-cidrs=false",
        # It makes the folder; its default lies in /usr.
        f"--flex-volume-plugin-dir={kubeconfig.parent / 'volume-plugins'}",
    )


def scheduler(
    program: Path, kubeconfig: Path, endpoints: Endpoints, certificates: Certificates
) -> tuple[str, ...]:
    """Command of kube-scheduler.

    Parameters
    ----------
    program, kubeconfig : Path
        The program, and its way to the API server.
    endpoints : Endpoints
        Its port.
    certificates : Certificates
        Its certificates.
    """
    return (str(program), *_client(kubeconfig, endpoints.scheduler_port, certificates.loopback))


def _client(kubeconfig: Path, port: int, server: KeyPair) -> tuple[str, ...]:
    return (
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        f"--tls-cert-file={server.certificate}",
        f"--tls-private-key-file={server.key}",
        "--leader-elect=false",
        "--profiling=false",
    )
