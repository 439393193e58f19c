-- Which readings count: in time, told for the first time, by a device that measures.

CREATE TABLE accepted AS
WITH heard AS (
    SELECT number, message, part, record, source, quantity, time, received, value, '' AS field, timed, aside
    FROM reading
    UNION ALL
    SELECT number, -1, part, record, source, quantity, time, received, value, field, false, false
    FROM desk_reading
),
-- A pack without a time that the broker delivers again is the same pack, and one that was journaled before its batch was
-- numbered anew: received then, and at that place. Any other is another.
again AS (
    SELECT message FROM (
        SELECT DISTINCT message, pack, part, received, redelivered, place, renumbered, lateness_ms
        FROM reading JOIN source USING (source) JOIN kind USING (kind) WHERE pack <> 0
    )
    QUALIFY (
        redelivered AND received - lag(received) OVER (PARTITION BY part, pack ORDER BY message) <= 2 * lateness_ms
    ) OR (renumbered AND row_number() OVER (PARTITION BY part, pack, received, place ORDER BY message) > 1)
),
placed AS (
    SELECT heard.*, source.unit, source.kind, kind.lateness_ms,
        max(least(heard.time, heard.received)) OVER (
            PARTITION BY source.kind, source.unit ORDER BY heard.number
        ) AS watermark
    FROM heard JOIN source USING (source) JOIN kind USING (kind)
    ANTI JOIN again USING (message)
),
-- What its own source had said before; `newest` is when the newest of that was observed, `newest_received` when heard.
in_time AS (
    SELECT *, max(if(timed, time, NULL)) OVER own AS newest FROM placed WHERE time >= watermark - lateness_ms
    WINDOW own AS (
        PARTITION BY source, quantity ORDER BY number ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    )
),
compared AS (
    SELECT *, last_value(if(timed AND (newest IS NULL OR time > newest), received, NULL) IGNORE NULLS) OVER (
        PARTITION BY source, quantity ORDER BY number ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ) AS newest_received
    FROM in_time
),
once AS (
    SELECT * FROM compared
    WHERE NOT timed OR newest IS NULL OR time > newest
        OR time >= newest + greatest(received - newest_received, 0) - lateness_ms
    QUALIFY NOT timed OR row_number() OVER (PARTITION BY source, quantity, timed, time ORDER BY number) = 1
)
SELECT kind, quantity.name AS quantity, unit, source, field, time, value, aside, watermark, part, record
FROM once JOIN quantity USING (kind, quantity);

CREATE TABLE counted AS SELECT * EXCLUDE (aside, watermark) FROM accepted WHERE NOT aside ORDER BY kind, quantity, time;

-- How far each kind's time has come in each unit: windows that end by then must be in history.
CREATE TABLE settled AS
SELECT reached.kind, unit, max(watermark) - any_value(settle_ms) AS upto
FROM (SELECT kind, unit, watermark FROM accepted UNION ALL SELECT kind, unit, watermark FROM event_in_time) AS reached
JOIN kind USING (kind) GROUP BY reached.kind, unit;
