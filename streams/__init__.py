"""The processor: Faust agents over a deterministic core of panes, KPIs, alerts and checkpoints."""
