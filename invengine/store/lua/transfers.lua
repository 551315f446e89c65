-- Transfers: reservations at the source whose units, when they are shipped, are expected at the destination.
--
-- A transfer is a record whose lines all have the fulfilment TRANSFER, one location where their units are, another as
-- destination, and in place of `future` the day on which they are expected there. It is CONFIRMED when it is made, and
-- stays so until `close`, which its servers call when nothing of it is open and nothing on the way. The verbs of channels
-- do not touch it (OF_TRANSFER).

do -- Lua allows 200 local names at once: what only these verbs use ends with them
local CART_REF = 8 -- place in a record: the reason of a transfer
local LINE_DESTINATION, LINE_DAY = 7, 8 -- places after the start of a line
local PART = 'PART' -- in an item's place of order_ref: other pieces of the transfer have the rest of what is named

-- Whether an item must not find nothing to do.
local function must_do(items, at)
  return items[at + 4] ~= PART
end

-- Units on the way to the destination of a line, in the tables; a receipt without units where nothing is.
local function on_the_way(record, line)
  local sku, partition = record[line + LINE_SKU], whole(record[line + LINE_PARTITION])
  return incoming.receipt_for(sku, partition, record[line + LINE_DESTINATION], record.id)
end

-- Whether somebody has set a receipt with the id of the transfer where units of a plan are to be. With `shortens` their
-- steps are made to want nothing. (What is on the way was on hand all at once, so it is within range.)
local function is_in_the_way(record, plan, shortens)
  for i = 1, #plan do
    local receipt = on_the_way(record, plan[i][1])
    if receipt.quantity > 0 and receipt.from ~= record[plan[i][2]] then
      if not shortens then
        return true
      end
      plan[i][3] = 0
    end
  end
end

-- Units of a step leave the source and are on the way, in this one step.
local function send(record, line, allocation, units, day, actor)
  local receipt, cause = on_the_way(record, line), actor .. '\t' .. record.id
  transfers.send_off(record, line, allocation, units, cause, 'TRANSFER_OUT', record[CART_REF])
  if receipt.quantity == 0 then
    receipt.day, receipt.from = whole(record[line + LINE_DAY]), record[allocation]
  elseif day > 0 and receipt.pegged == 0 then -- promises have to be judged by a new day: that is a change of its own
    receipt.day = day
  end
  receipt.quantity = receipt.quantity + units
  incoming.changed(receipt, '\tTRANSFER_OUT\t' .. cause)
end

local function ship_record(record, items, at)
  if not transfers.is_one(record) then
    return { 'TRANSFER_NOT_FOUND' }
  end
  local plan, refusal = transfers.named_units(record, items, at, 3)
  if refusal then
    return refusal
  elseif #plan == 0 and must_do(items, at) then
    return { 'TRANSFER_CLOSED' }
  elseif not units_are_reserved(record) then
    return { 'INTERNAL' }
  end
  local shortens, day = not must_do(items, at) and not piece.is_check, given(items[at + 3], 0)
  refusal = transfers.not_there(record, plan, shortens)
  if refusal and not shortens then
    return refusal
  end
  if is_in_the_way(record, plan, shortens) then
    return { 'TRANSFER_EXISTS' }
  end
  local is_same = true
  for i = 1, #plan do
    local line, allocation, units = plan[i][1], plan[i][2], plan[i][3]
    if units > 0 then
      is_same = false
      record[line + LINE_DAY] = day > 0 and text_of(day) or record[line + LINE_DAY]
      send(record, line, allocation, units, day, items[at + 1])
    end
  end
  return nil, is_same
end

local function cancel_record(record, items, at)
  if not transfers.is_one(record) then
    return { 'TRANSFER_NOT_FOUND' }
  end
  local plan = transfers.named_units(record, items, at, 1)
  if #plan == 0 and must_do(items, at) then
    return { 'TRANSFER_CLOSED' }
  elseif not units_are_reserved(record) then
    return { 'INTERNAL' }
  end
  for i = 1, #plan do
    give_back(record, plan[i][1], plan[i][2], plan[i][3], 'RELEASE', items[at + 1] .. '\t' .. record.id)
  end
  return nil, #plan == 0
end

local function close_record(record)
  if not transfers.is_one(record) then
    return { 'TRANSFER_NOT_FOUND' }
  end
  local is_open = each_allocation(record, function(_, allocation)
    if open_units(record, allocation) > 0 then
      return true
    end
  end)
  close_if_done(record)
  return nil, is_open
end

verbs.ship_transfer, verbs.cancel_transfer, verbs.close_transfer = ship_record, cancel_record, close_record

-- Units of a transfer leave the source and are incoming at the destination, under the id of the transfer. The time to live
-- of an item is the day on which they are expected, 0 for that of the transfer; where pegged units are on the way already
-- their receipt keeps its day. Refuses with TRANSFER_NOT_FOUND (no transfer) | TRANSFER_CLOSED (nothing is open) |
-- TRANSFER_EXISTS (a receipt at the destination has the id) | LINE_NOT_FOUND, line | QUANTITY_EXCEEDS_OPEN, line, open |
-- INSUFFICIENT_STOCK, line_id, sku, location, wanted, on hand, ...
redis.register_function('invengine_ship_transfer', function(_, args)
  return change(args, ship_record, transfers.UNITS_SIZE, 0)
end)

-- What of a transfer has not left goes back; of an item that names no lines. Refuses with TRANSFER_NOT_FOUND |
-- TRANSFER_CLOSED
redis.register_function({
  function_name = 'invengine_cancel_transfer',
  callback = function(_, args)
    return change(args, cancel_record, transfers.UNITS_SIZE, 0)
  end,
  flags = { 'allow-oom' },
})

-- A transfer of which nothing is open is FULFILLED, or RELEASED where nothing ever left. Refuses with TRANSFER_NOT_FOUND
redis.register_function({
  function_name = 'invengine_close_transfer',
  callback = function(_, args)
    return change(args, close_record, transfers.UNITS_SIZE, 0)
  end,
  flags = { 'allow-oom' },
})
end
