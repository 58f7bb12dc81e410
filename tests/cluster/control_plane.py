"""A real Kubernetes control plane on the loopback, by the envtest convention.

`KUBEBUILDER_ASSETS` names a folder with `etcd` (3.5.16 or newer), `kube-apiserver` and `kubectl`, and where present
`kube-controller-manager` and `kube-scheduler`. Everything it makes lies in one temporary folder; it is stopped by
process id.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import time
from pathlib import Path
from typing import Any

import yaml

from tests.fixtures.ports import free_port

NEEDED = ("etcd", "kube-apiserver", "kubectl")
START_SECONDS = 300.0
ADMIN = "admin"
OPERATOR = "system:serviceaccount:lima:lima-operator"
# What the operator asks for, and with what right: one line each.
AUDIT = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived", "ResponseStarted"],
    "rules": [{"level": "Metadata", "users": [OPERATOR]}, {"level": "None"}],
}


class AssetsMissing(RuntimeError):
    """There is no control plane to start: says which file of KUBEBUILDER_ASSETS is missing."""


def assets() -> Path:
    named = os.environ.get("KUBEBUILDER_ASSETS", "")
    if not named:
        raise AssetsMissing("KUBEBUILDER_ASSETS names no folder with etcd, kube-apiserver and kubectl")
    missing = [name for name in NEEDED if not os.access(Path(named) / name, os.X_OK)]
    if missing:
        raise AssetsMissing(f"KUBEBUILDER_ASSETS={named} lacks {', '.join(missing)}")
    return Path(named)


class ControlPlane:
    """etcd and kube-apiserver, and controller manager and scheduler where there are some."""

    def __init__(self, folder: Path) -> None:
        self.bin, self.folder = assets(), folder
        self.port, self.etcd_port, self.peer_port = free_port(), free_port(), free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        # Static tokens, as user,uid,groups: the administrator, and service accounts as tests ask for them.
        self._users = {ADMIN: "system:masters"}
        self._tokens: dict[str, str] = {}
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def has(self, program: str) -> bool:
        return os.access(self.bin / program, os.X_OK)

    def start(self) -> None:
        self._make_keys()
        self._users[OPERATOR] = "system:serviceaccounts,system:authenticated"
        self._write_tokens()
        (self.folder / "audit.json").write_text(json.dumps(AUDIT))
        self._spawn("etcd", *self._etcd_flags())
        self.start_api_server()
        if self.has("kube-controller-manager"):
            self._spawn("kube-controller-manager", *self._controller_flags())
        if self.has("kube-scheduler"):
            self._spawn(
                "kube-scheduler", f"--kubeconfig={self.kubeconfig()}", "--leader-elect=false", "--secure-port=0"
            )

    def stop(self) -> None:
        for name in reversed(list(self._running)):
            self._end(name)

    def start_api_server(self) -> None:
        self._spawn("kube-apiserver", *self._api_server_flags())
        self._wait_ready()

    def stop_api_server(self) -> None:
        self._end("kube-apiserver")

    def kubeconfig(self, user: str = ADMIN) -> Path:
        """A kubeconfig of that user."""
        path = self.folder / f"{user.replace(':', '-')}.conf"
        # The server signs its certificate with a key of its own, and keeps both in one file.
        authority = str(self.folder / "certificates" / "apiserver.crt")
        cluster = {"server": self.url, "certificate-authority": authority}
        path.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [{"name": "test", "cluster": cluster}],
                    "users": [{"name": "test", "user": {"token": self._tokens[user]}}],
                    "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
                    "current-context": "test",
                }
            )
        )
        path.chmod(0o600)
        return path

    def kubectl(self, *arguments: str, stdin: str | None = None, user: str = ADMIN) -> subprocess.CompletedProcess[str]:
        command = [str(self.bin / "kubectl"), f"--kubeconfig={self.kubeconfig(user)}", *arguments]
        return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=START_SECONDS)

    def must(self, *arguments: str, stdin: str | None = None) -> str:
        """kubectl as the administrator; fails the test when it is refused."""
        done = self.kubectl(*arguments, stdin=stdin)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def audited(self) -> list[dict[str, Any]]:
        """What the operator asked the API server so far, as audit events."""
        lines = (self.folder / "audit.log").read_text().splitlines()
        return [json.loads(line) for line in lines if line.endswith("}")]

    def _etcd_flags(self) -> list[str]:
        client, peer = f"http://127.0.0.1:{self.etcd_port}", f"http://127.0.0.1:{self.peer_port}"
        return [
            f"--data-dir={self.folder / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",
        ]

    def _api_server_flags(self) -> list[str]:
        return [
            f"--etcd-servers=http://127.0.0.1:{self.etcd_port}",
            "--bind-address=127.0.0.1",
            f"--secure-port={self.port}",
            f"--cert-dir={self.folder / 'certificates'}",
            f"--token-auth-file={self.folder / 'tokens.csv'}",
            "--authorization-mode=RBAC",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={self.folder / 'sa.pub'}",
            f"--service-account-signing-key-file={self.folder / 'sa.key'}",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--endpoint-reconciler-type=none",
            f"--audit-policy-file={self.folder / 'audit.json'}",
            f"--audit-log-path={self.folder / 'audit.log'}",
            # Written before the answer goes out: a test that saw the effect finds the request.
            "--audit-log-mode=blocking",
            "--profiling=false",
        ]

    def _controller_flags(self) -> list[str]:
        return [
            f"--kubeconfig={self.kubeconfig()}",
            f"--service-account-private-key-file={self.folder / 'sa.key'}",
            "--use-service-account-credentials=true",
            "--leader-elect=false",
            "--secure-port=0",
            # Nodes of a test have no kubelet that says that it lives.
            "--node-monitor-grace-period=1h",
        ]

    def _make_keys(self) -> None:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import rsa

        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        (self.folder / "sa.key").write_bytes(private)
        (self.folder / "sa.pub").write_bytes(public)

    def _write_tokens(self) -> None:
        self._tokens = {user: secrets.token_hex(16) for user in self._users}
        lines = [f'{self._tokens[user]},{user},{user},"{groups}"' for user, groups in self._users.items()]
        (self.folder / "tokens.csv").write_text("\n".join(lines) + "\n")

    def _spawn(self, name: str, *flags: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen([str(self.bin / name), *flags], stdout=log, stderr=log)

    def _end(self, name: str) -> None:
        process = self._running.pop(name)
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            for name, process in self._running.items():
                if process.poll() is not None:
                    raise RuntimeError(f"{name} ended: {(self.folder / f'{name}.log').read_text()[-2000:]}")
            # RBAC's own roles and the schemas come a moment after the server is ready.
            asked = (("--raw", "/readyz"), ("clusterrole", "system:discovery"), ("--raw", "/openapi/v2"))
            if all(self.kubectl("get", *what).returncode == 0 for what in asked):
                return
            time.sleep(0.3)
        raise RuntimeError(f"no API server: {(self.folder / 'kube-apiserver.log').read_text()[-2000:]}")
