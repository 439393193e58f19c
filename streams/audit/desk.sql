-- What desks' events say: an event counts once (its `id` and `source`), a step of a ticket as it was told first, and
-- two steps give a duration, observed at the later of them in the ticket's life, known when both have been told.

-- Events are judged like readings (verdict.sql), a desk by all that it says; what is late is not taken into a ticket.
CREATE TABLE event_in_time AS
WITH placed AS (
    SELECT event.*, kind, unit, lateness_ms,
        max(least(time, received)) OVER (PARTITION BY kind, unit ORDER BY number) AS watermark
    FROM event JOIN source USING (source) JOIN kind USING (kind)
),
in_time AS (
    SELECT *, max(time) OVER own AS newest FROM placed WHERE time >= watermark - lateness_ms
    WINDOW own AS (PARTITION BY source ORDER BY number ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
),
compared AS (
    SELECT *, last_value(if(newest IS NULL OR time > newest, received, NULL) IGNORE NULLS) OVER (
        PARTITION BY source ORDER BY number ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ) AS newest_received
    FROM in_time
)
SELECT * FROM compared
WHERE newest IS NULL OR time > newest OR time >= newest + greatest(received - newest_received, 0) - lateness_ms
QUALIFY row_number() OVER (PARTITION BY part, kind, origin, id ORDER BY number) = 1;

CREATE TABLE desk_reading AS
WITH step AS (
    SELECT * FROM event_in_time WHERE ticket <> ''
    QUALIFY row_number() OVER (PARTITION BY source, day, ticket, step ORDER BY number) = 1
),
pair AS (
    SELECT begun.time AS begun, ended.time AS time, (ended.time - begun.time) / 1000.0::DOUBLE AS value,
           if(ended.step = 'called', 'wait', 'service') AS name,
           if(begun.number > ended.number, begun, ended) AS completing
    FROM step AS begun JOIN step AS ended USING (source, day, ticket)
    WHERE (begun.step = 'taken' AND ended.step = 'called') OR (begun.step = 'called' AND ended.step = 'served')
),
said AS (
    SELECT number, part, record, source, time, received, value, field, quantity FROM event_in_time
    WHERE ticket = ''
    UNION ALL
    SELECT number, part, record, source, time, received, 1.0, field, quantity FROM step
    WHERE step IN ('taken', 'left') AND quantity >= 0
    UNION ALL
    SELECT completing.number, completing.part, completing.record, completing.source, pair.time, completing.received,
           pair.value, completing.field, quantity.quantity
    FROM pair JOIN source ON source.source = completing.source
    JOIN quantity ON quantity.kind = source.kind AND quantity.name = pair.name
    WHERE pair.time >= pair.begun
)
FROM said;
