-- What desks' events say: an event counts once (its `id` and `source`), a step of a ticket as it was told first, and
-- two steps give a duration, observed at the later of them in the ticket's life, known when both have been told.

CREATE MACRO said_by(events) AS TABLE
WITH step AS (
    SELECT * FROM query_table(events) WHERE ticket <> ''
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
    SELECT number, part, record, source, time, received, value, field, quantity FROM query_table(events)
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

CREATE TABLE event_once AS
SELECT event.* FROM event JOIN source USING (source)
QUALIFY row_number() OVER (PARTITION BY event.part, source.kind, event.origin, event.id ORDER BY event.number) = 1;

-- An event is too late when it happened more than the lateness before the newest reading said so far.
CREATE TABLE event_in_time AS
WITH line AS (
    SELECT number, source, NULL AS reached FROM event_once
    UNION ALL
    SELECT number, source, least(time, received) AS reached FROM said_by('event_once')
),
reached AS (
    SELECT line.number, max(line.reached) OVER (
        PARTITION BY source.kind, source.unit ORDER BY line.number
        RANGE BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ) AS watermark
    FROM line JOIN source USING (source)
)
SELECT event_once.* FROM event_once JOIN source USING (source) JOIN kind USING (kind)
JOIN (SELECT number, any_value(watermark) AS watermark FROM reached GROUP BY number) AS before USING (number)
WHERE before.watermark IS NULL OR event_once.time >= before.watermark - kind.lateness_ms;

CREATE TABLE desk_reading AS FROM said_by('event_in_time');
