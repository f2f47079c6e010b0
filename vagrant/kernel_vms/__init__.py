# SPDX-License-Identifier: MIT
"""How are machines with other kernels built and run, without Vagrant, KVM or the internet?

``matrix`` reads which machines there are, ``building`` makes their boxes, ``running`` boots one
and runs the tests in it, ``results`` reads what they said. The scripts beside this package are
their doors. Standard library only: it runs before there is an environment, and in the machine.
"""
