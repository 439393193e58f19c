-- Tables of an audit: the definitions, what the journal's messages say (decoded, not judged), what history holds.
-- Times are ms UTC. `number` counts readings and events in the order of the journal within a partition.

CREATE TABLE kind (kind VARCHAR, lateness_ms BIGINT, settle_ms BIGINT);
CREATE TABLE unit (unit VARCHAR, district VARCHAR, part INTEGER);
CREATE TABLE quantity (quantity INTEGER, kind VARCHAR, name VARCHAR);
CREATE TABLE source (source INTEGER, unit VARCHAR, kind VARCHAR, name VARCHAR);

-- Before `known_from` the journal has nothing (any more) of a partition; 0 where it has everything.
CREATE TABLE known (part INTEGER, known_from BIGINT);

-- A pack's readings. `timed`: the device gave the time. `aside`: it was calibrating or at fault.
-- `pack` stands for topic and payload of a pack without a time, 0 otherwise; `redelivered` is the broker's DUP mark;
-- `message` is the number of the pack's first reading, `place` its index in its batch, which may have been `renumbered`.
CREATE TABLE reading (
    number BIGINT, message BIGINT, part INTEGER, record BIGINT, source INTEGER, quantity INTEGER, time BIGINT,
    received BIGINT, value DOUBLE, timed BOOLEAN, aside BOOLEAN, pack BIGINT, redelivered BOOLEAN,
    place BIGINT, renumbered BOOLEAN
);

-- A desk's events. `ticket` is empty where the event carries its value itself (a rating).
CREATE TABLE event (
    number BIGINT, part INTEGER, record BIGINT, source INTEGER, time BIGINT, received BIGINT, origin VARCHAR,
    id VARCHAR, step VARCHAR, day BIGINT, ticket VARCHAR, field VARCHAR, quantity INTEGER, value DOUBLE
);

-- History, as the worker wrote it (and as a further look found it), and the same windows as worked out here. A told
-- value may be off by `tolerance`.
CREATE TABLE told (kpi VARCHAR, scope VARCHAR, "end" BIGINT, value DOUBLE, n BIGINT);
CREATE TABLE told_again (kpi VARCHAR, scope VARCHAR, "end" BIGINT, value DOUBLE, n BIGINT);
CREATE TABLE computed (kpi VARCHAR, scope VARCHAR, "end" BIGINT, value DOUBLE, n BIGINT, tolerance DOUBLE);

-- VN_AQI: Table 2 of Decision 1459/QĐ-TCMT, as segments of a polyline; the last one goes on at the highest index.
CREATE TABLE aqi_point (pollutant VARCHAR, concentration DOUBLE, aqi DOUBLE);

-- Sums are taken in whole millionths (docs/how-a-number-is-made.md), so that no order of adding matters.
CREATE MACRO millionths(value) AS CAST(round_even(value * 1000000.0::DOUBLE, 0) AS HUGEINT);

CREATE MACRO measured(measure, n, total, low, high, oldest, newest, hits, ordered, rank, per_ms) AS CASE
    WHEN measure = 'count' THEN n::DOUBLE
    WHEN measure = 'sum' THEN total::DOUBLE / 1000000.0::DOUBLE
    WHEN measure = 'mean' THEN total::DOUBLE / 1000000.0::DOUBLE / n
    WHEN measure = 'min' THEN low
    WHEN measure = 'max' THEN high
    WHEN measure = 'last' THEN newest.value
    WHEN measure = 'change' THEN newest.value - oldest.value
    WHEN measure = 'rate' AND newest.time > oldest.time
        THEN (newest.value - oldest.value) * per_ms / (newest.time - oldest.time)
    WHEN measure = 'share' THEN 100.0::DOUBLE * hits / n
    WHEN rank IS NOT NULL THEN ordered[1 + CAST(floor(rank * (n - 1)) AS BIGINT)]
END;

-- Quantiles are told from log bins (1 % of the value, 0 below 0.1); everything else to the last digits of a double.
CREATE MACRO off_by(value, rank, factor) AS CASE
    WHEN rank IS NULL OR value IS NULL THEN 1e-9::DOUBLE * greatest(1.0::DOUBLE, abs(coalesce(value, 0)))
    WHEN value < 0.1::DOUBLE * factor THEN 0.1::DOUBLE * factor
    ELSE 0.01000001::DOUBLE * abs(value)
END;

CREATE TABLE compared (
    kpi VARCHAR, scope VARCHAR, "end" BIGINT, told DOUBLE, told_n BIGINT, computed DOUBLE, computed_n BIGINT,
    outcome VARCHAR
);
