"""The command line: ``midtime check | list | show | verify | drills | recover``."""
