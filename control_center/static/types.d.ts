// What the gateway says: frames of the live channel, and the JSON behind the keys (streams/live.py).

export type Lang = "vi" | "en";
export type Severity = "critical" | "warning" | "notice";
export type LinkState = "live" | "slow" | "down";

export interface Goal {
  at_least: number | null;
  at_most: number | null;
  above: number | null;
}

export interface Kpi {
  id: string;
  name_vi: string;
  name_en: string;
  short_vi: string;
  short_en: string;
  across: string;
  better: "high" | "low";
  window_s: number;
  every_s: number;
  fresh_s: number;
  decimals: number;
  unit_vi: string;
  unit_en: string;
  goal: Goal | null;
}

export interface Live {
  v: number | null;
  n: number;
  src: number;
  from: number;
  to: number;
  as: number;
  st: string;
  rev: number;
}

export interface Alert {
  id: string;
  rule: string;
  scope: string;
  device: string;
  severity: Severity;
  state: string;
  raised_at: number;
  due: number;
  value: number | null;
  returned_at: number | null;
  acked_at: number | null;
  acked_by: string;
  closed_at: number | null;
  revision: number;
  comments: number;
  kpi?: string;
  unit_vi?: string;
  name_vi?: string;
  name_en?: string;
  headline_vi?: string;
  headline_en?: string;
  owner_vi?: string;
  owner_en?: string;
  field_vi?: string;
  field_en?: string;
  cause_vi?: string;
  cause_en?: string;
  consequence_vi?: string;
  consequence_en?: string;
  response_vi?: string;
  response_en?: string;
}

export interface Step {
  alert: string;
  revision: number;
  at: number;
  op: string;
  who: string;
  text: string;
}

export interface Ledger {
  received: number;
  accepted: number;
  duplicate: number;
  too_late: number;
  rejected: number;
  in_flight: number;
  difference: number;
  sent: number;
  arrived: number;
  missing: number;
}

export interface Fault {
  what: string;
  since: number;
  at: number;
  vi: string;
  en: string;
  detail: string;
}

export interface Title {
  name_vi: string;
  name_en: string;
  centre_vi: string;
  centre_en: string;
  valid_from?: string | null;
  valid_to?: string | null;
}

export interface Panel {
  kind: "tile" | "map" | "trend" | "alerts" | "ledger";
  kpi: string;
  hours: number;
  rows: number;
}

export interface Meta {
  t: "meta";
  epoch: string;
  now: number;
  build: string;
  wall: { id: string; name_vi: string; name_en: string; layout: "standard" | "far"; panels: Panel[] };
  kpis: Kpi[];
  units: [string, string][];
  place: { code: string; zone: string; titles: Title[] };
  replay?: Replay | null;
}

export interface Replay {
  from: number;
  to: number;
  speed: number;
}

export interface DeltaFrame {
  t: "d";
  s: number;
  now: number;
  more: number;
  d: Record<string, unknown>;
}

export interface ProofFrame {
  t: "hash";
  s: number;
  n: number;
  h: string;
}

export type Frame = Meta | DeltaFrame | ProofFrame;

export interface KpiPoint {
  kpi: string;
  value: number | null;
  n: number;
  to: number | null;
  as_of: number | null;
  state: string;
  revision: number;
}

export interface MapUnit {
  code: string;
  name: string;
  short: string;
  x: number;
  y: number;
  r: number;
  d: string;
}

export interface Schematic {
  w: number;
  h: number;
  note: string;
  context: string;
  outline: string;
  units: MapUnit[];
}

/** One text in both languages. */
export type Text = Record<Lang, string>;

export interface ExplainedUnit {
  unit: string;
  name: string;
  n: number;
  share: number;
  value: number | null;
}

export interface ExplainedSource {
  unit: string;
  unit_name: string;
  source: string;
  n: number;
  share: number;
  value: number | null;
  newest: number;
  ahead_ms: number | null;
}

export interface ExplainedMessage {
  topic: string;
  partition: number;
  offset: number;
  ordinal: number;
  received_at: number;
  outcome: string;
  reason: string;
  detail: string;
  readings: { quantity: string; time: number; value: number; outcome: string }[];
  step: string;
  linked: { step: string; time: number; topic: string; partition: number; offset: number; payload: string }[];
  payload: string;
  is_reduced: boolean;
}

/** What the pages use of `GET /api/explain` (control_center/http_explain.py). */
export interface Explanation {
  kpi: string;
  unit: string;
  scope: "unit" | "district" | "place";
  scope_name: string;
  name: Text;
  unit_of_measure: Text;
  decimals: number;
  value: { value: number | null; n: number; sources: number; state: string; revision: number; as_of: number };
  window: { from: number; to: number; looks_back_to: number };
  formula: { lines: Text[]; source?: string; bounds: { what: string; name: Text; condition: Text; owner: Text; severity: string; source: string }[] };
  units: ExplainedUnit[];
  panes: { quantity: string; from: number; to: number; n: number; sum: number; min: number; max: number }[];
  sources: ExplainedSource[];
  air: { source: string; quantity: string; hours: (number | null)[]; index: number | null }[];
  messages: ExplainedMessage[];
  outcomes: Record<string, number>;
  recomputed: { value: number | null; n: number; matches: boolean; verdict: Text };
  read: { records: number; messages: number; decoded: number; listed: number; listable: number };
  notes: Text[];
}
