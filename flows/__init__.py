"""What runs: one file a flow, the contract for pipelines, and the rooms of what the flows are made of."""

import os

# Before scikit-learn loads libgomp: its threads spin while they wait, which on a machine whose cores are shared with a server, a
# worker and a service makes a fit ten times slower (measured: 2.1 s against 21 s, two cores, load 6). An operator's own setting wins.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
