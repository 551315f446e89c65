-- Reserving, the usual way: batches of requests that want units of one SKU each, on hand at one location or the first of
-- a list, for a channel that borrows, without references. What is stored, logged and remembered is what `invengine_reserve`
-- writes for them, byte for byte; only the message and the way through it are shorter. An item that turns out not to be
-- that simple (sent before, its id in use, too little at its first candidate, ring-fences there) is decided by
-- `reserving.item` like any other.

do -- Lua allows 200 local names at once: what only this uses ends with it
-- An item: partition of its request, home, partition of its SKU, place of its way (all 2 bytes), units (4 bytes);
-- request, reservation_id, fingerprint, SKU, line_id (a byte of length before each).
local ITEM = '<HHHHI4Bc0Bc0Bc0Bc0Bc0'

-- Columns of the items of a call: their place is the first index, what stands there is of this call up to its count. Kept,
-- since they grow to the same size in every call.
local request_partitions, homes, partitions, ways, units = {}, {}, {}, {}, {}
local requests, ids, fingerprints, skus, line_ids = {}, {}, {}, {}, {}

-- Which of the first `count` fields are in one of the hashes `suffixes` of their partitions: place -> value, or nil.
local function known(count, homes_of, fields, suffixes)
  local names_of, places_of_names, order, found = {}, {}, {}, nil
  for i = 1, count do
    local partition = homes_of[i]
    local names = names_of[partition]
    if names then
      local n = #names + 1
      names[n], places_of_names[partition][n] = fields[i], i
    else
      names_of[partition], places_of_names[partition] = { fields[i] }, { i }
      order[#order + 1] = partition
    end
  end
  for g = 1, #order do
    local partition = order[g]
    local names = names_of[partition]
    for s = 1, #suffixes do
      local values = call('HMGET', tags[partition] .. suffixes[s], spread(names))
      for i = 1, #names do
        if values[i] then
          found = found or {}
          local place = places_of_names[partition][i]
          found[place] = found[place] or values[i]
        end
      end
    end
  end
  return found or {}
end

-- Completes a way with the texts that all its items share.
--   way  { channel, time to live, fulfilment, 1 where a line may be split else 0, list as `take_line` has it }
local function prepare(way)
  local expires_at, channel, location = reserving.second_in(way[2]), way[1], way[5][1][1]
  way.expires_at, way.location = expires_at, location
  way.keep, way.part, way.rules = way[5][2][1], way[5][3][1], way[5][4] and way[5][4][1]
  if not location then
    return
  end
  way.record = 'HELD\t' .. channel .. '\t' .. now_text .. '\t' .. expires_at .. '\t'
  way.line = '\t' .. way[3] .. '\t\t\t\t\t1\t' .. location .. '\t'
  way.cause = '\tRESERVE\t' .. channel .. '\t'
  way.time = '\t\t\t' .. now_text .. '\t\nH\t'
  way.place = '\t' .. location .. '\t'
  way.hold = '\t' .. expires_at .. '\t0\t\t\nR\t'
end

-- Takes an item whose first candidate has its units in the pool, and records it. False where that is not so.
local function take(way, partition, sku, wanted, home, id, line_id, request_partition, request, fingerprint)
  local p = way.location and find_position(sku, way.location, partition)
  if not p or fences_of[p] or taking.free_at(p, way.keep, way.part, way.rules) < wanted then
    return false
  end
  local home_rows, rows = rows_in(home), rows_in(partition)
  local leg, units, after, place = new_leg(partition), text_of(wanted), reserved[p] + wanted, way.place
  local after_text, home_text = text_of(after), text_of(home)
  reserved[p], reserved_before[p], reserved_text[p] = after, after, after_text
  touch(p)
  local text = way.record .. revision_texts[home] .. '\t\t\t\t\t1\t' .. line_id .. '\t' .. text_of(partition) .. '\t' .. sku
    .. '\t' .. units .. way.line .. leg .. '\t' .. units .. '\t0\t0\t'
  if rows == home_rows then
    rows[#rows + 1] = 'P\t' .. sku .. place .. on_hand_text[p] .. '\t' .. after_text .. '\t' .. counted_text[p] .. '\t0\t'
      .. units .. way.cause .. id .. way.time .. leg .. '\t' .. sku .. place .. units .. way.hold .. id .. '\t\t' .. text
      .. '\t\n'
  else
    rows[#rows + 1] = 'P\t' .. sku .. place .. on_hand_text[p] .. '\t' .. after_text .. '\t' .. counted_text[p] .. '\t0\t'
      .. units .. way.cause .. id .. way.time .. leg .. '\t' .. sku .. place .. units .. sub(way.hold, 1, -3)
    home_rows[#home_rows + 1] = 'R\t' .. id .. '\t\t' .. text .. '\t\n'
  end
  look_at(partition, way.expires_at, home_text .. '\t' .. id)
  write_field(home, 'reservations', id, text)
  remember_request(request_partition, request, fingerprint, id, text)
  return true
end

-- The same item as `reserving.item` has it.
local function as_item(way, partition, sku, wanted, id, line_id, fingerprint)
  local channel, units = way[1], text_of(wanted)
  local fields = '\t' .. line_id .. '\t' .. text_of(partition) .. '\t' .. sku .. '\t' .. units .. '\t' .. way[3] .. '\t\t\t\t\t'
  return {
    fingerprint, way[2], 0, 'HELD\t' .. channel .. '\t', '\t\t\t\t\t1', '\tRESERVE\t' .. channel .. '\t' .. id .. '\t\t\t',
    channel, 0, 1, partition, sku, wanted, fields, way[4], 1,
  }
end

-- Reserves units of one SKU per item, all or nothing.
--   keys   {pN}:log of every partition of a SKU, a reservation or a request
--   args   1 message: { ..., { partition of a SKU or reservation, ... }, parts }; parts are flat: ways as `prepare` has
--          them, count of items, the items as ITEM says, one behind the other
--   reply  per item, as far as this call went: 0 where it got its units at the first candidate of its way and expires
--          its time to live from the next whole second on, else what invengine_reserve answers
local function reserve_plain(_, args)
  local message = begin_call(args)
  begin_expiry(EXPIRE_MAX)
  reserving.begin()
  local take_apart, parts, count = struct.unpack, message[5], 0
  for part = 1, #parts, 3 do
    local ways_of_part, items, at, place = parts[part], parts[part + 2], 1, nil
    for way = 1, #ways_of_part do
      prepare(ways_of_part[way])
    end
    for n = count + 1, count + parts[part + 1] do
      request_partitions[n], homes[n], partitions[n], place, units[n], requests[n], ids[n], fingerprints[n], skus[n],
        line_ids[n], at = take_apart(ITEM, items, at)
      ways[n] = ways_of_part[place]
    end
    count = count + parts[part + 1]
  end
  local stored = known(count, request_partitions, requests, { requests_now, requests_before })
  local taken = known(count, homes, ids, { 'reservations', closed_now, closed_before })
  local outcomes, plain_count = {}, 0
  taker_borrows = true
  for n = 1, count do
    if work > WORK_MAX then
      break
    end
    local way, partition, sku, wanted, id, request = ways[n], partitions[n], skus[n], units[n], ids[n], requests[n]
    if not stored[n] and not taken[n] and not answered_requests[request] and not reserving.made[id]
      and take(way, partition, sku, wanted, homes[n], id, line_ids[n], request_partitions[n], request, fingerprints[n]) then
      reserving.made[id] = true
      plain_count = plain_count + 1
      outcomes[n] = 0
    else
      local outcome, sweep = reserving.item(
        as_item(way, partition, sku, wanted, id, line_ids[n], fingerprints[n]), 1, { way[5] }, nil,
        request_partitions[n], request, homes[n], id, stored[n], taken[n]
      )
      outcomes[n] = outcome or { 'SWEEP_FIRST', sweep }
      if sweep then
        break
      end
    end
  end
  return reserving.finish(outcomes, homes[1], plain_count)
end

redis.register_function('invengine_reserve_plain', reserve_plain)
end
