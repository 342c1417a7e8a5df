"""A test double of scalar-admin: a real gRPC server in a process of its own that plays the old and the new contract.

It delays, hangs, lies, refuses and dies on demand. It ends with the process that started it::

    with Double(contract="old") as double:
        double.control(unpause={"fail": "UNAVAILABLE", "times": 3})
        client = AdminClient(double.endpoint())

From a shell: ``python -m midtime.scalar.double``; the words of :meth:`Double.control` are the lines of its standard input.
"""

from midtime.scalar.double.handle import Double

__all__ = ["Double"]
