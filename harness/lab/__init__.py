"""The lab: hosts, switches and faults on one Linux machine, with a real kernel between them."""
