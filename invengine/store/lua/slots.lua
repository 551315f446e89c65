-- Slots: daily capacity of a location, kept as positions (README.md, "Capacity"). The SKU begins with a space, the place
-- is a day; `reserved` are the slots that are held, `on_hand` those that are used up. What there is in all stands in the
-- request. They are taken in exact numbers only, by the branch of `take_exactly` for them.

local slots = {} -- the functions of this fragment

do -- Lua allows 200 local names at once: what only these use ends with them
-- Whether a SKU is one of slots.
function slots.is_one(sku)
  return byte(sku) == 32
end

-- The position of a day's slots, made in the tables where there is none yet.
function slots.position(sku, day, partition)
  local p = find_position(sku, day, partition)
  if not p then
    p = new_position(sku, day, partition)
    places_in(sku)[day] = p
  end
  return p
end

-- Slots of a day that nobody has, of so many in all.
function slots.free_at(p, capacity)
  return math.max(0, capacity - reserved[p] - on_hand[p])
end

-- Held slots are used up (units above 0), or held again (below): nothing else ever changes their on_hand.
function slots.use(p, units)
  set_reserved(p, reserved[p] - units)
  set_on_hand(p, on_hand[p] + units)
end

-- Whether the text of a line, what it may take of the future and what follows, says that other lines hold slots for it.
function slots.has(text)
  return text ~= '' and find(text, '+', 1, true) ~= nil
end

-- The same text with another date and slots: what stands before them and the units that came back behind stay.
function slots.with_standing(text, standing)
  local head = match(text, '^%*[^\30]*\30[^\30]*\30') or match(text, '^%d*')
  return head .. standing .. (match(text, '<%d+$') or '')
end

-- Lines of a list of `lines_of` that hold no slots.
function slots.count_others(lines)
  local count = 0
  for n = 1, #lines do
    if byte(lines[n][1]) ~= 32 then
      count = count + 1
    end
  end
  return count
end

-- Forgets days that are over: their positions go, as far as nothing is held there any more.
--   keys   {pN}:log of the partition
--   args   1 message: { ..., { partition }, partition, { sku, day, sku, day, ... } }
--   reply  outcomes { days forgotten }
local function forget_slots(_, args)
  local message = begin_call(args)
  begin_expiry(0)
  local partition, named, count = message[5], message[6], 0
  for i = 1, #named, 2 do
    local sku, day = named[i], named[i + 1]
    local p = slots.is_one(sku) and find_position(sku, day, partition)
    if p and reserved[p] == 0 then
      local rows, used = rows_in(partition), on_hand[p]
      set_on_hand(p, 0)
      rows[#rows + 1] = position_row(p, -used, 0, 'FORGET', '\t', '\t', now_text)
      hash_drops[#hash_drops + 1] = { stock_key(sku, partition), day }
      places_in(sku)[day] = false
      count = count + 1
    end
  end
  return finish({ count }, partition)
end

redis.register_function({ function_name = 'invengine_forget_slots', callback = forget_slots, flags = { 'allow-oom' } })
end
