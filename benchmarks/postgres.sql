-- The same inventory in PostgreSQL, as an engineer who knows it well would do it: natural keys compared as bytes, room
-- on each page so that an updated row stays on it (HOT), no index that writing or sweeping does not need, one call per
-- reservation. Left out, and so in PostgreSQL's favour: rules of safety stock, choice among locations, holds that stop
-- counting the moment their time is over, look-up by customer and order, answers with the whole record.

CREATE TABLE positions (
  sku          text COLLATE "C" NOT NULL,
  location     text COLLATE "C" NOT NULL,
  on_hand      bigint NOT NULL,
  reserved     bigint NOT NULL DEFAULT 0,
  safety_stock bigint NOT NULL DEFAULT 0,
  revision     bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (sku, location)
) WITH (fillfactor = 50);

-- The request is the idempotency key: one row and one more index instead of a table of its own.
CREATE TABLE reservations (
  reservation_id bigint GENERATED ALWAYS AS IDENTITY (CACHE 100) PRIMARY KEY,
  channel        text COLLATE "C" NOT NULL,
  request_id     uuid NOT NULL,
  fingerprint    uuid NOT NULL,
  state          text COLLATE "C" NOT NULL,
  created_at     timestamptz NOT NULL,
  expires_at     timestamptz NOT NULL,
  UNIQUE (request_id, channel)
);
CREATE INDEX ON reservations USING brin (expires_at);

CREATE TABLE reservation_lines (
  reservation_id bigint NOT NULL,
  line           smallint NOT NULL,
  sku            text COLLATE "C" NOT NULL,
  location       text COLLATE "C" NOT NULL,
  quantity       bigint NOT NULL,
  PRIMARY KEY (reservation_id, line)
);

CREATE TABLE ledger (
  recorded_at    timestamptz NOT NULL,
  sku            text COLLATE "C" NOT NULL,
  location       text COLLATE "C" NOT NULL,
  revision       bigint NOT NULL,
  kind           text COLLATE "C" NOT NULL,
  units          bigint NOT NULL,
  reserved_after bigint NOT NULL,
  cause          bigint NOT NULL
);
CREATE INDEX ON ledger USING brin (recorded_at);

-- Reserves units at one position. Answers the reservation's id, the same for every repeat of the request, or NULL when
-- there are too few units. The position is updated last but one, so that its lock is held as briefly as can be; a
-- request that is refused is not remembered.
CREATE FUNCTION reserve(
  asked_by text, request uuid, content uuid, wanted_sku text, wanted_location text, units bigint, hold_seconds integer
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  made   bigint;
  known  uuid;
  after  bigint;
  number bigint;
BEGIN
  PERFORM FROM positions
    WHERE sku = wanted_sku AND location = wanted_location AND on_hand - reserved - safety_stock >= units;
  IF FOUND THEN
    INSERT INTO reservations (channel, request_id, fingerprint, state, created_at, expires_at)
      VALUES (asked_by, request, content, 'HELD', now(), now() + make_interval(secs => hold_seconds))
      ON CONFLICT (request_id, channel) DO NOTHING
      RETURNING reservation_id INTO made;
  END IF;
  IF made IS NULL THEN
    SELECT reservation_id, fingerprint INTO made, known
      FROM reservations WHERE request_id = request AND channel = asked_by;
    IF known <> content THEN
      RAISE EXCEPTION 'REQUEST_MISMATCH';
    END IF;
    RETURN made;
  END IF;
  INSERT INTO reservation_lines VALUES (made, 1, wanted_sku, wanted_location, units);
  UPDATE positions SET reserved = reserved + units, revision = revision + 1
    WHERE sku = wanted_sku AND location = wanted_location AND on_hand - reserved - safety_stock >= units
    RETURNING reserved, revision INTO after, number;
  IF NOT FOUND THEN -- the last units went to another call in between
    DELETE FROM reservation_lines WHERE reservation_id = made;
    DELETE FROM reservations WHERE reservation_id = made;
    RETURN NULL;
  END IF;
  INSERT INTO ledger VALUES (now(), wanted_sku, wanted_location, number, 'RESERVE', units, after, made);
  RETURN made;
END $$;

-- Reserves one unit for each of many requests in one transaction. Answers how many were made. Positions are locked in
-- the order of their keys, so that calls do not lock each other out for good; of requests for one position the first
-- ones get what there is.
CREATE FUNCTION reserve_many(
  asked_by text, requests uuid[], content uuid, skus text[], locations text[], hold_seconds integer
) RETURNS bigint LANGUAGE sql AS $$
  WITH asked AS (
    SELECT request_id, sku, location, row_number() OVER (PARTITION BY sku, location ORDER BY place) AS nth
      FROM unnest(requests, skus, locations) WITH ORDINALITY AS item (request_id, sku, location, place)
      WHERE NOT EXISTS (SELECT FROM reservations r WHERE r.request_id = item.request_id AND r.channel = asked_by)
  ), locked AS MATERIALIZED (
    SELECT sku, location, on_hand - reserved - safety_stock AS free, reserved, revision FROM positions
      WHERE (sku, location) IN (SELECT sku, location FROM asked)
      ORDER BY sku, location FOR NO KEY UPDATE
  ), granted AS MATERIALIZED (
    SELECT asked.*, reserved + nth AS after, revision + nth AS number FROM asked JOIN locked USING (sku, location)
      WHERE nth <= free
  ), made AS (
    INSERT INTO reservations (channel, request_id, fingerprint, state, created_at, expires_at)
      SELECT asked_by, request_id, content, 'HELD', now(), now() + make_interval(secs => hold_seconds) FROM granted
      RETURNING reservation_id, request_id
  ), lined AS (
    INSERT INTO reservation_lines
      SELECT reservation_id, 1, sku, location, 1 FROM made JOIN granted USING (request_id)
  ), logged AS (
    INSERT INTO ledger
      SELECT now(), sku, location, number, 'RESERVE', 1, after, reservation_id FROM made JOIN granted USING (request_id)
  ), taken AS (
    UPDATE positions SET reserved = after, revision = number
      FROM (SELECT sku, location, max(after) AS after, max(number) AS number FROM granted GROUP BY sku, location) AS last
      WHERE positions.sku = last.sku AND positions.location = last.location
  )
  SELECT count(*) FROM made
$$;

-- Movements of feeds: an event counts once, by (source, event_id); it changes the position, which it makes where there is
-- none, and stands in the ledger. A sale of more than is free is refused and not remembered.
CREATE TABLE events (
  source   text COLLATE "C" NOT NULL,
  event_id text COLLATE "C" NOT NULL,
  revision bigint NOT NULL,
  PRIMARY KEY (source, event_id)
);

CREATE TABLE movement_ledger (
  recorded_at   timestamptz NOT NULL,
  occurred_at   timestamptz NOT NULL,
  sku           text COLLATE "C" NOT NULL,
  location      text COLLATE "C" NOT NULL,
  revision      bigint NOT NULL,
  kind          text COLLATE "C" NOT NULL,
  units         bigint NOT NULL,
  on_hand_after bigint NOT NULL,
  source        text COLLATE "C" NOT NULL,
  event_id      text COLLATE "C" NOT NULL
);
CREATE INDEX ON movement_ledger USING brin (recorded_at);

-- Applies one movement. Answers the position's revision after it, as before for a repeat, or NULL when it is refused.
CREATE FUNCTION post_movement(
  by_source text, event text, happened_at timestamptz, kind text, of_sku text, at_location text, units bigint
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  after  bigint;
  number bigint;
BEGIN
  SELECT revision INTO number FROM events WHERE source = by_source AND event_id = event;
  IF FOUND THEN
    RETURN number;
  END IF;
  INSERT INTO positions AS held (sku, location, on_hand, revision) SELECT of_sku, at_location, units, 1 WHERE units >= 0
    ON CONFLICT (sku, location) DO UPDATE SET on_hand = held.on_hand + units, revision = held.revision + 1
    RETURNING on_hand, revision INTO after, number;
  IF units < 0 THEN
    UPDATE positions SET on_hand = on_hand + units, revision = revision + 1
      WHERE sku = of_sku AND location = at_location AND on_hand - reserved + units >= 0
      RETURNING on_hand, revision INTO after, number;
    IF NOT FOUND THEN
      RETURN NULL;
    END IF;
  END IF;
  INSERT INTO events VALUES (by_source, event, number) ON CONFLICT DO NOTHING;
  IF NOT FOUND THEN -- the same event in another call at the same time, which goes first
    RAISE EXCEPTION 'REPEATED' USING ERRCODE = 'serialization_failure';
  END IF;
  INSERT INTO movement_ledger
    VALUES (now(), happened_at, of_sku, at_location, number, kind, units, after, by_source, event);
  RETURN number;
END $$;

-- Applies many movements in one transaction, each in its place: several of one position one after the other. Answers
-- how many were applied. Positions are locked in the order of their keys. A batch in which a position would run short
-- is done movement by movement instead.
CREATE FUNCTION post_movements(
  by_source text, events_in text[], happened_at timestamptz, skus text[], locations text[], units_in bigint[]
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  applied bigint;
  short   bigint;
BEGIN
  WITH asked AS MATERIALIZED (
    SELECT event_id, sku, location, units,
        sum(units) OVER earlier AS change, row_number() OVER earlier AS nth
      FROM unnest(events_in, skus, locations, units_in) WITH ORDINALITY AS item (event_id, sku, location, units, place)
      WHERE NOT EXISTS (SELECT FROM events e WHERE e.source = by_source AND e.event_id = item.event_id)
      WINDOW earlier AS (PARTITION BY sku, location ORDER BY place)
  ), lowest AS (
    SELECT sku, location, min(change) AS least, max(nth) AS count, sum(units) AS units
      FROM asked GROUP BY sku, location
  ), locked AS MATERIALIZED (
    SELECT sku, location, on_hand, reserved, revision FROM positions
      WHERE (sku, location) IN (SELECT sku, location FROM asked)
      ORDER BY sku, location FOR NO KEY UPDATE
  ), upserted AS (
    INSERT INTO positions AS held (sku, location, on_hand, revision)
      SELECT sku, location, units, count FROM lowest ORDER BY sku, location
      ON CONFLICT (sku, location) DO UPDATE
        SET on_hand = held.on_hand + EXCLUDED.on_hand, revision = held.revision + EXCLUDED.revision
  ), remembered AS (
    INSERT INTO events
      SELECT by_source, event_id, coalesce(revision, 0) + nth FROM asked LEFT JOIN locked USING (sku, location)
  ), logged AS (
    INSERT INTO movement_ledger
      SELECT now(), happened_at, sku, location, coalesce(revision, 0) + nth,
          CASE WHEN units < 0 THEN 'SALE' ELSE 'RECEIPT' END, units, coalesce(on_hand, 0) + change, by_source, event_id
        FROM asked LEFT JOIN locked USING (sku, location)
  )
  SELECT (SELECT count(*) FROM asked),
      (SELECT count(*) FROM lowest LEFT JOIN locked USING (sku, location)
        WHERE least < 0 AND coalesce(on_hand - reserved, 0) + least < 0)
    INTO applied, short;
  IF short > 0 THEN
    RAISE EXCEPTION 'INSUFFICIENT_STOCK in the batch: post it movement by movement';
  END IF;
  RETURN applied;
END $$;
