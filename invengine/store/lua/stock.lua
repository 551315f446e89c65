-- Positions: read once per call, changed in tables, written by `finish`. A position is a number p into these tables.

local position_count
local sku_of, location_of, partition_of -- what p is
local on_hand, reserved, revised, counted -- its numbers; counted is counted_at_ms, 0 when it never was
local is_changed, changed_positions -- p -> true, and these p in order
local places_of -- sku -> location -> p, or false where the SKU has no stock

local function begin_stock()
  position_count = 0
  sku_of, location_of, partition_of = {}, {}, {}
  on_hand, reserved, revised, counted = {}, {}, {}, {}
  is_changed, changed_positions = {}, {}
  places_of = {}
end

local function new_position(sku, location, partition)
  local p = position_count + 1
  position_count = p
  sku_of[p], location_of[p], partition_of[p] = sku, location, partition
  on_hand[p], reserved[p], revised[p], counted[p] = 0, 0, 0, 0
  return p
end

-- The position that a stored text says, strictly.
local function read_position(sku, location, partition, text)
  local units, set_aside, revision, counted_at = match(text, '^(%d+),(%d+),(%d+),(%d+)$')
  units, set_aside, revision, counted_at = number(units), number(set_aside), number(revision), number(counted_at)
  if
    not counted_at
    or units > UNITS_MAX
    or set_aside > UNITS_MAX
    or revision > UNITS_MAX
    or counted_at > UNITS_MAX
    or find(text, '^0%d')
    or find(text, ',0%d')
  then
    broken('not a position at ' .. sku .. ' ' .. location, text)
  end
  local p = position_count + 1
  position_count = p
  sku_of[p], location_of[p], partition_of[p] = sku, location, partition
  on_hand[p], reserved[p], revised[p], counted[p] = units, set_aside, revision, counted_at
  return p
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

-- One position, or false where there is none.
local function find_position(sku, location, partition)
  local places = places_in(sku)
  local p = places[location]
  if p == nil then
    local text = call('HGET', tags[partition] .. 'stock:' .. sku, location)
    p = text and read_position(sku, location, partition, text)
    places[location] = p
    work = work + 1
  end
  return p
end

-- Reads positions of the candidates from place `from` on: the first alone, since it is mostly enough, later ones many.
local function read_candidates(places, sku, partition, locations, from)
  local key = tags[partition] .. 'stock:' .. sku
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
  work = work + last - from + 1
end

-- Marks a position as changed by this call. Its partition's rows must have been asked for before.
local function touch(p)
  revised[p] = revision_of[partition_of[p]]
  if not is_changed[p] then
    is_changed[p] = true
    changed_positions[#changed_positions + 1] = p
  end
end

-- The row of a change of a position, from its numbers now.
local function position_row(p, units, set_aside, kind, actor_and_cause, reason_and_reference, occurred_at)
  return 'P\t' .. sku_of[p] .. '\t' .. location_of[p] .. '\t' .. text_of(on_hand[p]) .. '\t' .. text_of(reserved[p])
    .. '\t' .. text_of(counted[p]) .. '\t' .. text_of(units) .. '\t' .. text_of(set_aside) .. '\t' .. kind
    .. '\t' .. actor_and_cause .. '\t' .. reason_and_reference .. '\t' .. occurred_at .. '\t\n'
end

-- Remembers a change of on_hand that a later count may have to keep on top.
local function remember_in_trail(p, units, occurred_at)
  if occurred_at > now_ms - count_window_ms then
    local key = tags[partition_of[p]] .. 'trail:' .. sku_of[p]
    push_entry(key, now_text .. '\t' .. text_of(occurred_at) .. '\t' .. location_of[p] .. '\t' .. text_of(units))
  end
end

-- Drops entries of a trail that no count can ask for any more, as many as were added and one more; a trail that nothing
-- is added to goes as a whole.
trim_trail = function(key, added)
  local oldest = now_ms - count_window_ms - AHEAD_MS
  local first = call('LRANGE', key, 0, added)
  local over = 0
  while over < #first and number(match(first[over + 1], '^%d+')) < oldest do
    over = over + 1
  end
  if over > 0 then
    call('LTRIM', key, over, -1)
  end
  call('PEXPIRE', key, text_of(count_window_ms + 2 * AHEAD_MS))
end

write_positions = function()
  for i = 1, #changed_positions do
    local p = changed_positions[i]
    local text = text_of(on_hand[p]) .. ',' .. text_of(reserved[p]) .. ',' .. text_of(revised[p]) .. ','
      .. text_of(counted[p])
    write_field(tags[partition_of[p]] .. 'stock:' .. sku_of[p], location_of[p], text)
  end
end
