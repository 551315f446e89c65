-- Positions: read once per call, changed in tables, written by `finish`. A position is a number p into these tables.

local position_count
local sku_of, location_of, partition_of -- what p is
local on_hand, reserved -- its numbers
local on_hand_text, reserved_text -- and their texts, to be kept in step
local reserved_before -- reserved without what the item takes that is being decided
local revised, counted_text -- texts of its revision and counted_at_ms, '0' when it never was; few need the numbers
local is_changed, changed_positions -- p -> true, and these p in order
local places_of -- sku -> location -> p, or false where the SKU has no stock
local stock_keys -- sku -> its key
local trails -- a list of { key, { entry, ... } } to append, and the lists by key; and in `edits` by key: place from the
-- end (-1: the last stored one) -> an entry as it is from now on
local fences_of, fenced -- p -> channel -> units in its ring-fence, and their sum; nil where there never was one
local raised, pool_before -- positions whose pool the running item may have raised, in order, and what it was before

local function begin_stock()
  position_count = 0
  if not sku_of then -- kept, since they grow to the same size in every call, and p has all of them before it is used
    sku_of, location_of, partition_of = {}, {}, {}
    on_hand, reserved, reserved_before, on_hand_text, reserved_text = {}, {}, {}, {}, {}
    revised, counted_text = {}, {}
  end
  is_changed, changed_positions = {}, {}
  places_of, stock_keys, trails = {}, {}, { edits = {} }
  fences_of, fenced, raised, pool_before = {}, {}, {}, {}
end

local function stock_key(sku, partition)
  local key = stock_keys[sku]
  if not key then
    key = tags[partition] .. 'stock:' .. sku
    stock_keys[sku] = key
  end
  return key
end

-- A position that there is none of yet. A full snapshot of its location says that it had no units then.
local function new_position(sku, location, partition)
  local p = position_count + 1
  position_count = p
  sku_of[p], location_of[p], partition_of[p] = sku, location, partition
  on_hand[p], reserved[p], reserved_before[p] = 0, 0, 0
  on_hand_text[p], reserved_text[p], revised[p] = '0', '0', '0'
  counted_text[p] = call('HGET', tags[partition] .. 'counted', location) or '0'
  return p
end

local function set_on_hand(p, units)
  on_hand[p], on_hand_text[p] = units, text_of(units)
end

local function set_reserved(p, units)
  reserved[p], reserved_before[p], reserved_text[p] = units, units, text_of(units)
end

-- Units that are neither reserved nor ring-fenced; below 0 after a loss.
local function pool_of(p)
  return on_hand[p] - reserved[p] - (fenced[p] or 0)
end

-- Notes the pool of a position before the running item may raise it: what is free then covers backorders.
local function note_pool(p)
  if not pool_before[p] then
    pool_before[p] = pool_of(p)
    raised[#raised + 1] = p
  end
end

-- Units of the channel's own ring-fence and, where it borrows, of the pool.
local function reach_of(p, channel, borrows)
  local own = fences_of[p] and fences_of[p][channel] or 0
  return borrows and own + math.max(0, pool_of(p)) or own
end

local function change_fence(p, channel, by)
  local fences = fences_of[p]
  if not fences then
    fences = {}
    fences_of[p], fenced[p] = fences, 0
  end
  local units = (fences[channel] or 0) + by
  fences[channel] = units > 0 and units or nil
  fenced[p] = fenced[p] + by
end

-- Takes units out of the ring-fence of a channel, as far as it goes. Returns how many.
local function take_from_fence(p, channel, units)
  local own = fences_of[p] and fences_of[p][channel]
  if not own then
    return 0
  end
  own = math.min(own, units)
  change_fence(p, channel, -own)
  return own
end

-- The row of a ring-fence, from its units now; `taken_later` have left it by then and not by the row.
local function fence_row(p, channel, taken_later)
  return 'F\t' .. sku_of[p] .. '\t' .. location_of[p] .. '\t' .. channel .. '\t'
    .. text_of((fences_of[p][channel] or 0) + (taken_later or 0)) .. '\t\n'
end

-- Whether a text is before another, byte by byte: `<` follows the locale of the server.
local function precedes(one, other)
  for i = 1, math.min(#one, #other) do
    local a, b = byte(one, i), byte(other, i)
    if a ~= b then
      return a < b
    end
  end
  return #one < #other
end

-- The positions of a SKU as far as they were read.
local function places_in(sku)
  local places = places_of[sku]
  if not places then
    places = {}
    places_of[sku] = places
  end
  return places
end

local find_position, read_candidates

do -- Lua allows 200 local names at once: what only these use ends with them
-- Splits the ring-fences off the text of a position.
--   returns  the text without them, units by channel, their sum; nil where it is none
local function split_fences(text)
  local numbers, rest = match(text, '^([%d,]+)(\t.+)$')
  local fences, sum, length = {}, 0, 0
  for channel, units in gmatch(rest or '', '\t([^\t]+)\t(%d+)') do
    fences[channel] = whole(units)
    sum, length = sum + fences[channel], length + #channel + #units + 2
  end
  if rest and length == #rest then
    return numbers, fences, sum
  end
end

-- Whether one of the numbers has a zero before it that does not count.
local function has_leading_zero(numbers)
  return find(numbers, ',0%d') or (byte(numbers) == 48 and byte(numbers, 2) ~= 44)
end

-- The position that a stored text says, strictly: four whole numbers without leading zeros, the first two within range;
-- then the ring-fences.
local function read_position(sku, location, partition, text)
  local numbers, fences, sum = text, nil, nil
  local units_text, set_aside_text, revision, counted_at = match(text, '^(%d+),(%d+),(%d+),(%d+)$')
  if not units_text then
    numbers, fences, sum = split_fences(text)
    units_text, set_aside_text, revision, counted_at = match(numbers or '', '^(%d+),(%d+),(%d+),(%d+)$')
  end
  local units, set_aside = number(units_text), number(set_aside_text)
  if not units or units > UNITS_MAX or set_aside > UNITS_MAX or has_leading_zero(numbers) then
    broken('not a position at ' .. sku .. ' ' .. location, text)
  end
  local p = position_count + 1
  position_count = p
  if fences then
    fences_of[p], fenced[p] = fences, sum
  end
  sku_of[p], location_of[p], partition_of[p] = sku, location, partition
  on_hand[p], reserved[p], reserved_before[p] = units, set_aside, set_aside
  on_hand_text[p], reserved_text[p], revised[p], counted_text[p] = units_text, set_aside_text, revision, counted_at
  return p
end

-- One position, or false where there is none.
function find_position(sku, location, partition)
  local places = places_in(sku)
  local p = places[location]
  if p == nil then
    local text = call('HGET', stock_key(sku, partition), location)
    p = text and read_position(sku, location, partition, text)
    places[location] = p
    work = work + 1
  end
  return p
end

-- Reads positions of the candidates from place `from` on: the first alone, since it is mostly enough, later ones many.
function read_candidates(places, sku, partition, locations, from)
  local key = stock_key(sku, partition)
  if from == 1 then
    local text = call('HGET', key, locations[1])
    places[locations[1]] = text and read_position(sku, locations[1], partition, text)
    work = work + 1
    return
  end
  local last = math.min(from + 99, #locations)
  local texts = call('HMGET', key, spread(locations, from, last))
  for i = from, last do
    local location = locations[i]
    if places[location] == nil then
      local text = texts[i - from + 1]
      places[location] = text and read_position(sku, location, partition, text)
    end
  end
  work = work + (last - from + 1) / 4 -- a read in passing costs less than a change
end
end

-- Marks a position as changed by this call. Its partition's rows must have been asked for before.
local function touch(p)
  revised[p] = revision_texts[partition_of[p]]
  if not is_changed[p] then
    is_changed[p] = true
    changed_positions[#changed_positions + 1] = p
  end
end

-- The row of a change of a position, from its numbers now.
local function position_row(p, units, set_aside, kind, actor_and_cause, reason_and_reference, occurred_at)
  return 'P\t' .. sku_of[p] .. '\t' .. location_of[p] .. '\t' .. on_hand_text[p] .. '\t' .. reserved_text[p] .. '\t'
    .. counted_text[p] .. '\t' .. text_of(units) .. '\t' .. text_of(set_aside) .. '\t' .. kind .. '\t'
    .. actor_and_cause .. '\t' .. reason_and_reference .. '\t' .. occurred_at .. '\t\n'
end

-- Remembers a change of on_hand, or of the units in a state, that a later count may have to keep on top.
--   order_ref  of a fulfilment: the order, since a snapshot may say that it contains it; '' or nil for none
--   happened   the text of occurred_at, where the caller has it
local function remember_in_trail(p, units, occurred_at, state, order_ref, happened)
  if occurred_at > now_ms - count_window_ms then
    local key = tags[partition_of[p]] .. 'trail:' .. sku_of[p]
    local entries = trails[key]
    if not entries then
      entries = {}
      trails[key] = entries
      trails[#trails + 1] = { key, entries }
    end
    local recorded_at = latest_ms == now_ms and now_text or text_of(latest_ms)
    local entry = recorded_at .. '\t' .. (happened or text_of(occurred_at)) .. '\t' .. location_of[p] .. '\t' .. text_of(units)
    if (order_ref or '') ~= '' then
      entry = entry .. '\t' .. (state or '') .. '\t' .. order_ref
    elseif state then
      entry = entry .. '\t' .. state
    end
    entries[#entries + 1] = entry
  end
end

do
local TRIM_EVERY = 16 -- entries between two looks at the old end of a trail

-- Appends to a trail. Now and then entries that no count can ask for any more are dropped, more than were added since,
-- so that it shrinks while it is used; one that is not used any more goes as a whole.
local function write_trail(key, entries)
  local added = #entries
  local length = append(key, entries)
  if floor(length / TRIM_EVERY) > floor((length - added) / TRIM_EVERY) then
    local oldest = now_ms - count_window_ms - AHEAD_MS
    local first, over = call('LRANGE', key, 0, added + TRIM_EVERY), 0
    while over < #first and number(match(first[over + 1], '^%d+')) < oldest do
      over = over + 1
    end
    if over > 0 then
      call('LTRIM', key, over, -1)
    end
  end
  if length == added or call('PTTL', key) < count_window_ms + AHEAD_MS then
    call('PEXPIRE', key, text_of(count_window_ms + 2 * AHEAD_MS))
  end
end

local function position_text(p)
  local text, fences = on_hand_text[p] .. ',' .. reserved_text[p] .. ',' .. revised[p] .. ',' .. counted_text[p], fences_of[p]
  if fences then
    local channels = {}
    for channel in pairs(fences) do
      channels[#channels + 1] = channel
    end
    sort(channels, precedes)
    for i = 1, #channels do
      text = text .. '\t' .. channels[i] .. '\t' .. text_of(fences[channels[i]])
    end
  end
  return text
end

writers[#writers + 1] = function()
  local i, p = 1, changed_positions[1]
  while p do
    local first, sku = p, sku_of[p]
    i = i + 1
    p = changed_positions[i]
    if p and sku_of[p] == sku then
      local values = { location_of[first], position_text(first) }
      while p and sku_of[p] == sku do -- neighbours of one SKU are written together
        local n = #values
        values[n + 1], values[n + 2] = location_of[p], position_text(p)
        i = i + 1
        p = changed_positions[i]
      end
      set_fields(stock_keys[sku], values)
    else
      call('HSET', stock_keys[sku], location_of[first], position_text(first))
    end
  end
  for key, edits in pairs(trails.edits) do -- before anything is appended: places are from the end
    for place, entry in pairs(edits) do
      call('LSET', key, text_of(place), entry)
    end
  end
  for t = 1, #trails do
    write_trail(trails[t][1], trails[t][2])
  end
end
end
