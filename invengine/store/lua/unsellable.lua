-- Units that are at a position and not sellable, by named state. A state of a position is a table: sku, location,
-- partition, name, units, counted (a text as counted_text), revision (a text), is_known: it is stored or will be.

local unsellable = { kept = nil } -- the functions of this fragment, and what this call knows of states: nil until one is
-- looked up, which most calls never do

do -- Lua allows 200 local names at once: what only these use ends with them
local function key_of(state)
  return tags[state.partition] .. 'unsellable:' .. state.sku
end

local function read_state(state, text)
  local units, revision, counted_at = match(text, '^(%d+),(%d+),(%d+)$')
  if not units then
    broken('not units in a state at ' .. state.sku .. ' ' .. state.location .. ' ' .. state.name, text)
  end
  state.units, state.revision, state.counted = whole(units), revision, text_of(whole(counted_at))
  state.is_known = true
end

-- A state of a position, without units where there never were any.
function unsellable.find(sku, location, partition, name)
  local kept = unsellable.kept or { states = {}, changed = {} }
  unsellable.kept = kept
  local id = sku .. '\t' .. location .. '\t' .. name
  local state = kept.states[id]
  if not state then
    state = {
      sku = sku, location = location, partition = partition, name = name, units = 0, revision = '0', is_known = false,
    }
    local text = call('HGET', key_of(state), state.location .. '\t' .. name)
    if text then
      read_state(state, text)
    else
      state.counted = call('HGET', tags[partition] .. 'counted', location) or '0' -- as a position that is new
    end
    kept.states[id] = state
    work = work + 1
  end
  return state
end

-- Lets a state have so many units, and (counted_at given) be counted then. The partition's rows were asked for before.
-- Returns its row, for behind the P row of what changed it.
function unsellable.change(state, units, counted_at)
  local by = units - state.units
  state.units, state.counted = units, counted_at and text_of(counted_at) or state.counted
  state.revision, state.is_known = revision_texts[state.partition], true
  if not state.is_changed then
    state.is_changed = true
    unsellable.kept.changed[#unsellable.kept.changed + 1] = state
  end
  return 'U\t' .. state.sku .. '\t' .. state.location .. '\t' .. state.name .. '\t' .. text_of(units) .. '\t'
    .. text_of(by) .. '\t' .. state.counted .. '\t\n'
end

writers[#writers + 1] = function()
  local kept = unsellable.kept
  for i = 1, kept and #kept.changed or 0 do
    local state = kept.changed[i]
    local text = text_of(state.units) .. ',' .. state.revision .. ',' .. state.counted
    call('HSET', key_of(state), state.location .. '\t' .. state.name, text)
  end
end
end
