-- Amendments and rebindings of several pieces, in two steps: what a piece has to take beyond what it gives back is taken
-- first, the rest follows once the head has said that all pieces could. And how either is taken back.

do
local LINE_QUANTITY = 4 -- place in a line of `lines_of`

-- The mark that an operation was refused or undone here, and so is never to be applied any more.
function pieces.undone_mark(id, operation)
  return id .. '\t' .. text_of(operation)
end

function pieces.mark_undone(partition, id, operation)
  pieces.marked[pieces.undone_mark(id, operation)] = true
  write_field(partition, 'undone:' .. period, pieces.undone_mark(id, operation), '1')
end

-- What is prepared at a partition, `{pN}:prepared` id -> number of the operation TAB MessagePack of a table with
--   takes       { line_id, leg, units, location, class, units out of the ring-fence, place among the takes, 1 when the leg
--               is new else 0 } taken already
--   added       line_id of lines added already
--   gives       { line_id, leg, units, location, class } to be given back
--   swaps       { line_id, location, class, units, due day, place among the takes, leg that has the rest of that or '' } to be
--               taken out of what is given back at the same place
--   quantities  { line_id, units that the line is to have or false, its new date and slots or false }
--   fulfilled   { leg, units, units out of the ring-fence, its channel, when } that left, and may have to come back
-- A class is '#' for units on hand, '=' and the receipt_id for pegged ones, '=' for backorders.

local function class_of(source)
  return is_on_hand(source) and '#' or '=' .. receipt_in(source)
end

function pieces.keep_prepared(record, operation, kept)
  pieces.prepared[record.id] = { operation, kept }
  write_field(record.home, 'prepared', record.id, text_of(operation) .. '\t' .. pack(kept))
end

-- What is prepared for an operation; nil where nothing is.
function pieces.prepared_for(record, operation)
  local known = pieces.prepared[record.id]
  if known == nil then
    local text = call('HGET', tags[record.home] .. 'prepared', record.id)
    local number_text, at = match(text or '', '^(%d+)\t()')
    known = number_text and { whole(number_text), message_of(sub(text, at)) } or false
    pieces.prepared[record.id] = known
  end
  return known and known[1] == operation and known[2] or nil
end

function pieces.drop_prepared(record)
  pieces.prepared[record.id] = false
  hash_drops[#hash_drops + 1] = { tags[record.home] .. 'prepared', record.id }
end

-- Units that takes need of their places (positions, receipts) beyond what is given back there and the taker may have:
-- what returns to the ring-fence of another channel does not count, unless there are no others.
--   returns  place -> units
local function fresh_units(gives)
  local taken, given_back, within_reach, fresh = {}, {}, {}, {}
  for t = 1, take_count do
    local place = take_position[t] or take_receipt[t]
    taken[place] = (taken[place] or 0) + take_units[t]
  end
  for i = 1, #gives do
    local place, units, lost = gives[i].from, gives[i].units, 0
    if gives[i].p and units > 0 then
      local fenced_units, channel = moving.back_to_fence(gives[i].allocation, units)
      lost = channel ~= taker and fenced_units or 0
    end
    given_back[place] = (given_back[place] or 0) + units
    within_reach[place] = (within_reach[place] or 0) + units - lost
  end
  for place, units in pairs(taken) do
    local least = math.max(0, units - (given_back[place] or 0))
    fresh[place] = math.max(least, units - (within_reach[place] or 0))
    if on_hand[place] then
      fresh[place] = math.min(fresh[place], math.max(least, on_hand[place] - reserved[place]))
    end
  end
  return fresh
end

-- In place of moving's: takes what each place must give beyond what it gets back there, and keeps what `finish` is to
-- do and what `undo` needs. Nothing is given back yet, since it could not be taken back for sure.
function pieces.preparing(item)
  return function(record, planned, gives, wants, kind, channel)
    local kept = { takes = {}, added = {}, gives = {}, swaps = {}, quantities = {}, fulfilled = {} }
    local lines, by_id = lines_of(record) -- as they are: how the plan counts its lines is for `finish`
    for n = #lines + 1, #planned do
      lines[n], by_id[planned[n][1]] = planned[n], planned[n]
      kept.added[#kept.added + 1] = planned[n][1]
    end
    for n = 1, item[5][6] do
      local asked = item[5][CHANGE_SIZE + n]
      local quantity = (item[4] == 'amend' or byte(asked[1]) == 32) and asked[2] or false
      local standing = not asked[6] and asked[7]
      if quantity or standing then
        kept.quantities[#kept.quantities + 1] = { asked[1], quantity, standing or false }
      end
    end
    for i = 1, #gives do
      local line, allocation, units = gives[i].line, gives[i].allocation, gives[i].units
      if units > 0 then
        kept.gives[#kept.gives + 1] =
          { line[1], allocation.leg, units, allocation.location, class_of(allocation.source) }
      end
    end
    local fresh = fresh_units(gives)
    for t = 1, take_count do
      local place, units, line = take_position[t] or take_receipt[t], take_units[t], by_id[wants[take_line[t]].line[1]]
      local location, class = location_of[place], '#'
      if not take_position[t] then
        location, class = place.location, '=' .. place.id
      end
      local now, leg = math.min(units, fresh[place]), ''
      fresh[place] = fresh[place] - now
      if now > 0 then
        take_units[t] = now
        local count = #line.allocations
        local allocation, fenced_units = moving.carry_take(record, line, t, kind, channel)
        leg = allocation.leg
        local is_new = #line.allocations > count and 1 or 0
        kept.takes[#kept.takes + 1] = { line[1], leg, now, location, class, fenced_units, t, is_new }
      end
      if units > now then
        kept.swaps[#kept.swaps + 1] = { line[1], location, class, units - now, take_due[t] or 0, t, leg }
      end
    end
    if #kept.takes + #kept.added > 0 then
      write_lines(record, lines)
      record_changed(record)
    end
    pieces.keep_prepared(record, item[2], kept)
  end
end

-- Gives units of a leg back. Pegged or backordered ones that became others meanwhile (`arrive`, a receipt that lost
-- cover) are where they are now: at the same location of the line.
--   named    { line_id, leg, units, location, ... }
--   fenced   units that go back to the ring-fence of the leg; nil: as units that are given back do
--   returns  a list of { p or false, receipt, units }
local function give_leg_back(record, line, named, fenced, kind, channel)
  local leg, left, location, given_back = named[2], named[3], named[4], {}
  local function give(allocation)
    local units = math.min(left, open_of(allocation))
    if units > 0 then
      local back = moving.give(line, allocation, units)
      back.fenced = allocation.leg == leg and fenced or nil
      moving.carry_back(record, back, kind, channel)
      left = left - units
      given_back[#given_back + 1] = { back.p or false, back.from, units }
    end
  end
  for a = 1, #line.allocations do
    if line.allocations[a].leg == leg then
      give(line.allocations[a])
    end
  end
  for is_there = 1, left > 0 and 2 or 0 do -- what waits still, then units on hand
    for a = #line.allocations, 1, -1 do
      local allocation = line.allocations[a]
      if allocation.location == location and is_on_hand(allocation.source) == (is_there == 2) then
        give(allocation)
      end
    end
  end
  if left > 0 then
    broken('fewer units are open than were to be given back, of ' .. record.id, leg)
  end
  return given_back
end

-- Has a line take units out of what was given back at their place.
--   place_of  leg -> place among the takes, of allocations that are new: filled
local function swap(record, line, named, given_back, kind, channel, place_of)
  local left, into = named[4], nil
  for a = 1, #line.allocations do
    into = line.allocations[a].leg == named[7] and line.allocations[a] or into
  end
  while left > 0 do
    local last = given_back[#given_back]
    if not last then
      broken('fewer units were given back than were to be taken, of ' .. record.id, named[1])
    end
    local p, from, units = last[1], last[2], math.min(left, last[3])
    take_count = 1
    take_position[1], take_units[1], take_receipt[1], take_due[1] = p, units, not p and from or nil, named[5]
    local count = #line.allocations
    local allocation = moving.carry_take(record, line, 1, kind, channel, into)
    if #line.allocations > count then
      place_of[allocation.leg] = named[6]
    end
    left, last[3] = left - units, last[3] - units
    if last[3] == 0 then
      given_back[#given_back] = nil
    end
  end
end

-- Has new allocations of a line come in the order of its takes, as they do where all is taken at once.
local function in_order(line, place_of)
  local old, new = {}, {}
  for a = 1, #line.allocations do
    local allocation = line.allocations[a]
    local to = place_of[allocation.leg] and new or old
    to[#to + 1] = allocation
  end
  sort(new, function(one, other)
    local a, b = place_of[one.leg], place_of[other.leg]
    return a < b or (a == b and number(one.leg) < number(other.leg))
  end)
  for i = 1, #new do
    old[#old + 1] = new[i]
  end
  line.allocations = old
end

-- What an allocation has fulfilled, and its units out of a ring-fence, by leg.
function pieces.fulfilled_in(record)
  local by_leg = {}
  each_allocation(record, function(_, allocation)
    local source = record[allocation + SOURCE]
    local out_of_fence, channel = 0, ''
    if is_on_hand(source) then
      out_of_fence, channel = fence_in(source)
    end
    by_leg[record[allocation + LEG]] = { whole(record[allocation + FULFILLED]), out_of_fence, channel }
  end)
  return by_leg
end

-- What left by a fulfilment: what `undo` needs. `before` as fulfilled_in had it.
function pieces.fulfilled_since(record, before)
  local fulfilled = {}
  for leg, now in pairs(pieces.fulfilled_in(record)) do
    local was = before[leg]
    if now[1] > was[1] then
      fulfilled[#fulfilled + 1] = { leg, now[1] - was[1], was[2] - now[2], was[3], now_ms }
    end
  end
  sort(fulfilled, function(one, other)
    return number(one[1]) < number(other[1])
  end)
  return fulfilled
end

-- Units that left come back: reserved and on_hand rise, and what came out of a ring-fence is said to have again. Where the
-- position was counted since they left, on_hand is what was counted: it does not rise.
local function unfulfil(record, fulfilled, channel)
  local of_leg = {}
  for i = 1, #fulfilled do
    of_leg[fulfilled[i][1]] = fulfilled[i]
  end
  each_allocation(record, function(line, allocation)
    local one = of_leg[record[allocation + LEG]]
    if one then
      local units, partition = one[2], whole(record[line + LINE_PARTITION])
      local p, rows = find_position(record[line + LINE_SKU], record[allocation], partition), rows_in(partition)
      local back, left_at = units, one[5] or now_ms
      if slots.is_one(record[line + LINE_SKU]) then
        slots.use(p, -units)
        back = -units
      else
        left_at = moves.left_at(p, units, record[ORDER_REF], left_at)
        back = whole(counted_text[p]) < left_at and units or 0
        set_reserved(p, reserved[p] + units)
        set_on_hand(p, on_hand[p] + back)
        remember_in_trail(p, units, left_at, nil, record[ORDER_REF])
      end
      touch(p)
      record[allocation + FULFILLED] = text_of(whole(record[allocation + FULFILLED]) - units)
      if one[3] > 0 then
        record[allocation + SOURCE] = source_of_fence((fence_in(record[allocation + SOURCE])) + one[3], one[4])
      end
      rows[#rows + 1] =
        position_row(p, back, units, 'FULFIL', channel .. '\t' .. record.id, '\t' .. record[ORDER_REF], text_of(left_at))
    end
  end)
end

-- Notes that an operation was applied to a piece.
function pieces.applied(record, operation, is_same)
  record[TOKEN] = text_of(operation)
  cover_raised()
  return { 'APPLIED', record_changed(record), is_same and 1 or 0 }
end

-- The kind of the rows of a verb that is prepared.
function pieces.kind_of_verb(item)
  return item[4] == 'amend' and 'AMEND' or 'REBIND'
end

-- Carries out what was prepared: nobody comes between what is given back and what is taken out of it.
function pieces.finish(record, item)
  local kept = pieces.prepared_for(record, item[2])
  if not kept then
    return { 'STALE' }
  end
  local before, kind, channel, given_at = concat(record, '\t'), pieces.kind_of_verb(item), item[5][2], {}
  local lines, by_id = lines_of(record)
  local place_of = {}
  taker = channel
  for i = 1, #kept.takes do
    if kept.takes[i][8] == 1 then
      place_of[kept.takes[i][2]] = kept.takes[i][7]
    end
  end
  for i = 1, #kept.quantities do
    local named = kept.quantities[i]
    local line = by_id[named[1]]
    if named[2] then
      moving.units_of(line)
      line[LINE_QUANTITY] = text_of(named[2])
    end
    if named[3] then
      line[LINE_FUTURE + 1] = slots.with_standing(line[LINE_FUTURE + 1], named[3])
    end
  end
  for i = 1, #kept.gives do
    local give = kept.gives[i]
    local line = by_id[give[1]]
    local place = line.sku .. '\t' .. give[4] .. '\t' .. give[5]
    given_at[place] = given_at[place] or {}
    for _, back in ipairs(give_leg_back(record, line, give, nil, kind, channel)) do
      given_at[place][#given_at[place] + 1] = back
    end
  end
  for i = 1, #kept.swaps do
    local named = kept.swaps[i]
    local line = by_id[named[1]]
    swap(record, line, named, given_at[line.sku .. '\t' .. named[2] .. '\t' .. named[3]] or {}, kind, channel, place_of)
  end
  for n = 1, #lines do
    in_order(lines[n], place_of)
  end
  write_lines(record, lines)
  pieces.drop_prepared(record)
  local is_same = #kept.takes + #kept.added == 0 and concat(record, '\t') == before
  return pieces.applied(record, item[2], is_same)
end

-- Gives back what was taken for a change, and takes out the lines that it added.
local function give_takes_back(record, kept, kind, channel)
  local lines, by_id = lines_of(record)
  for i = #kept.takes, 1, -1 do
    local take = kept.takes[i]
    give_leg_back(record, by_id[take[1]], take, take[6], kind, channel)
  end
  for n = #lines, #lines - #kept.added + 1, -1 do -- the last ones: no other change came between
    lines[n] = nil
  end
  write_lines(record, lines)
  if #lines == 0 then -- the piece was made for it
    pieces.drop(record)
    record[STATE], record[EXPIRES_AT] = 'RELEASED', '0'
  end
end

-- Takes an operation back as far as it was done here, and has it never done any more.
function pieces.undo(record, item)
  local operation, channel = item[2], item[5][2]
  pieces.mark_undone(record.home, record.id, operation)
  local kept = pieces.prepared_for(record, operation)
  if kept then
    unfulfil(record, kept.fulfilled, channel)
    if #kept.takes + #kept.added > 0 then
      give_takes_back(record, kept, pieces.kind_of_verb(item), channel)
    end
    pieces.drop_prepared(record)
    cover_raised()
    if #kept.fulfilled + #kept.takes + #kept.added > 0 then
      record_changed(record)
    end
  end
  return { 'UNDONE' }
end
end
