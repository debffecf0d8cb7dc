#include "format/name_codec.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <string_view>
#include <tuple>
#include <unordered_map>

#include "format/bytes.h"
#include "format/error.h"
#include "format/record.h"

namespace imgpack {
namespace {

using layout::names_header::kLiteral;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

struct SplitName {
  std::string_view prefix, suffix;
  uint32_t number = 0;
  uint32_t digits = 0;  // Of the number as written; 0: the name has none.
};

// The number is the last run of digits before the extension, its last nine digits where it is longer.
SplitName split_name(std::string_view name) {
  const size_t slash = name.rfind('/');
  const size_t base = slash == std::string_view::npos ? 0 : slash + 1;
  const size_t dot = name.rfind('.');
  size_t end = dot == std::string_view::npos || dot <= base ? name.size() : dot;
  while (end > base && !is_digit(name[end - 1])) --end;
  size_t begin = end;
  while (begin > base && is_digit(name[begin - 1]) && end - begin < layout::kMaxNameNumberDigits) --begin;
  SplitName parts{name.substr(0, begin), name.substr(end), 0, static_cast<uint32_t>(end - begin)};
  if (parts.digits == 0) return {name, {}, 0, 0};
  for (size_t i = begin; i < end; ++i) parts.number = parts.number * 10 + static_cast<uint32_t>(name[i] - '0');
  return parts;
}

struct Entry {
  std::string prefix, suffix;
  uint16_t digits = 0;  // Zero-padded to at least so many; 0 and 1 alike: as it is. kLiteral: no number.
  auto key() const { return std::tie(prefix, suffix, digits); }
};

// A prefix and suffix, and which paddings occur with them.
struct Stem {
  uint32_t padded = 0;                   // Bit d: some number is written with leading zeros to d digits.
  std::map<uint16_t, uint32_t> entries;  // Digits -> position in `Dictionary::entries`.
};

struct Dictionary {
  std::vector<Entry> entries;
  std::vector<uint32_t> entry_of;  // Of every name.
  std::vector<uint32_t> number;    // Of every name.
};

std::string stem_key(const SplitName& parts) {
  std::string key;
  key.reserve(parts.prefix.size() + 1 + parts.suffix.size());
  key.append(parts.prefix).append(1, '\0').append(parts.suffix);
  return key;
}

bool has_leading_zero(const SplitName& parts, std::string_view name) {
  return parts.digits > 1 && name[parts.prefix.size()] == '0';
}

Dictionary make_dictionary(std::span<const IndexColumns* const> parts, size_t records) {
  std::unordered_map<std::string, Stem> stems;
  for (const IndexColumns* part : parts) {
    for (const std::string& name : part->names) {
      const SplitName split = split_name(name);
      Stem& stem = stems[stem_key(split)];
      if (has_leading_zero(split, name)) stem.padded |= 1u << split.digits;
    }
  }
  Dictionary dictionary;
  dictionary.entry_of.reserve(records);
  dictionary.number.reserve(records);
  for (const IndexColumns* part : parts) {
    for (const std::string& name : part->names) {
      const SplitName split = split_name(name);
      Stem& stem = stems[stem_key(split)];
      // A number that fills its padding looks like one without: it belongs to the narrowest padding that fits.
      uint16_t digits = split.digits == 0 ? kLiteral : 0;
      if (has_leading_zero(split, name)) {
        digits = static_cast<uint16_t>(split.digits);
      } else if (split.digits != 0) {
        for (uint16_t d = 2; d <= split.digits && digits == 0; ++d)
          if (stem.padded & (1u << d)) digits = d;
      }
      const auto [it, added] = stem.entries.try_emplace(digits, static_cast<uint32_t>(dictionary.entries.size()));
      if (added) dictionary.entries.push_back({std::string(split.prefix), std::string(split.suffix), digits});
      dictionary.entry_of.push_back(it->second);
      dictionary.number.push_back(split.number);
    }
  }
  return dictionary;
}

// Sorted, so that the bytes depend on the set of names alone and neighbours compress well.
void sort_entries(Dictionary& dictionary) {
  std::vector<uint32_t> order(dictionary.entries.size());
  for (uint32_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(),
            [&](uint32_t a, uint32_t b) { return dictionary.entries[a].key() < dictionary.entries[b].key(); });
  std::vector<uint32_t> position(order.size());
  std::vector<Entry> sorted;
  sorted.reserve(order.size());
  for (uint32_t i = 0; i < order.size(); ++i) {
    position[order[i]] = i;
    sorted.push_back(std::move(dictionary.entries[order[i]]));
  }
  dictionary.entries = std::move(sorted);
  for (uint32_t& entry : dictionary.entry_of) entry = position[entry];
}

// Label -> the entry that most of its names use; the first of equals.
std::map<int32_t, uint32_t> usual_entries(const Dictionary& dictionary, std::span<const IndexColumns* const> parts) {
  std::map<std::pair<int32_t, uint32_t>, uint64_t> uses;
  size_t i = 0;
  for (const IndexColumns* part : parts)
    for (const int32_t label : part->label) ++uses[{label, dictionary.entry_of[i++]}];
  std::map<int32_t, uint32_t> usual;
  std::map<int32_t, uint64_t> most;
  for (const auto& [key, count] : uses) {
    if (count > most[key.first]) {
      most[key.first] = count;
      usual[key.first] = key.second;
    }
  }
  return usual;
}

void put_planes(std::byte*& out, std::span<const uint32_t> values, unsigned width) {
  for (unsigned plane = 0; plane < width; ++plane)
    for (const uint32_t value : values) *out++ = static_cast<std::byte>(value >> (8 * plane) & 0xff);
}

std::vector<uint32_t> get_planes(const std::byte*& in, size_t count, unsigned width) {
  std::vector<uint32_t> values(count);
  for (unsigned plane = 0; plane < width; ++plane)
    for (uint32_t& value : values) value |= static_cast<uint32_t>(*in++) << (8 * plane);
  return values;
}

// Per entry: prefix bytes, suffix bytes, digits, two bytes each. Per default: label and entry, four bytes each.
constexpr uint64_t kEntryBytes = 6, kDefaultBytes = 8, kRecordBytes = 8;

}  // namespace

std::vector<std::byte> encode_names(std::span<const IndexColumns* const> parts) {
  size_t records = 0;
  for (const IndexColumns* part : parts) {
    if (part->names.size() != part->size()) throw Error(ErrorKind::kInternal, "index columns have no names to store");
    records += part->size();
  }
  Dictionary dictionary = make_dictionary(parts, records);
  sort_entries(dictionary);
  const std::map<int32_t, uint32_t> usual = usual_entries(dictionary, parts);

  std::vector<uint32_t> codes;
  codes.reserve(records);
  size_t i = 0;
  for (const IndexColumns* part : parts)
    for (const int32_t label : part->label) {
      const uint32_t entry = dictionary.entry_of[i++];
      codes.push_back(usual.at(label) == entry ? 0 : entry + 1);
    }
  std::vector<uint32_t> prefix_bytes, suffix_bytes, digits, default_labels, default_entries;
  uint64_t text_bytes = 0;
  for (const Entry& entry : dictionary.entries) {
    prefix_bytes.push_back(static_cast<uint32_t>(entry.prefix.size()));
    suffix_bytes.push_back(static_cast<uint32_t>(entry.suffix.size()));
    digits.push_back(entry.digits);
    text_bytes += entry.prefix.size() + entry.suffix.size();
  }
  for (const auto& [label, entry] : usual) {
    default_labels.push_back(static_cast<uint32_t>(label));
    default_entries.push_back(entry);
  }

  const uint64_t entries = dictionary.entries.size(), defaults = usual.size();
  std::vector<std::byte> raw(layout::names_header::kBytes + kRecordBytes * records + kEntryBytes * entries +
                             kDefaultBytes * defaults + text_bytes);
  store(raw, layout::names_header::kEntryCount, entries);
  store(raw, layout::names_header::kDefaultCount, defaults);
  store(raw, layout::names_header::kTextBytes, text_bytes);
  std::byte* out = raw.data() + layout::names_header::kBytes;
  put_planes(out, dictionary.number, 4);
  put_planes(out, codes, 4);
  put_planes(out, prefix_bytes, 2);
  put_planes(out, suffix_bytes, 2);
  put_planes(out, digits, 2);
  put_planes(out, default_labels, 4);
  put_planes(out, default_entries, 4);
  for (const Entry& entry : dictionary.entries) {
    for (const std::string* text : {&entry.prefix, &entry.suffix}) {
      std::memcpy(out, text->data(), text->size());
      out += text->size();
    }
  }
  return raw;
}

uint64_t max_raw_names_bytes(uint64_t records) {
  return layout::names_header::kBytes + records * (kRecordBytes + kEntryBytes + kDefaultBytes + layout::kMaxNameBytes);
}

std::vector<std::string> decode_names(std::span<const std::byte> raw, std::span<const int32_t> labels,
                                      const std::filesystem::path& path, uint64_t offset) {
  const auto damaged = [&](const std::string& what) {
    throw Error(ErrorKind::kCorruption, "names in the index are damaged: " + what, path, offset);
  };
  if (raw.size() < layout::names_header::kBytes) damaged("no head");
  const size_t records = labels.size();
  const uint64_t entries = load(raw, layout::names_header::kEntryCount);
  const uint64_t defaults = load(raw, layout::names_header::kDefaultCount);
  const uint64_t text_bytes = load(raw, layout::names_header::kTextBytes);
  const uint64_t fixed = layout::names_header::kBytes + kRecordBytes * records + kEntryBytes * entries +
                         kDefaultBytes * defaults;  // Cannot overflow: counts of 32 bits each, records in memory.
  if (raw.size() < fixed || raw.size() - fixed != text_bytes)
    damaged("expected " + std::to_string(fixed) + " bytes and " + std::to_string(text_bytes) + " of text, found " +
            std::to_string(raw.size()));

  const std::byte* in = raw.data() + layout::names_header::kBytes;
  const std::vector<uint32_t> numbers = get_planes(in, records, 4);
  const std::vector<uint32_t> codes = get_planes(in, records, 4);
  const std::vector<uint32_t> prefix_bytes = get_planes(in, entries, 2);
  const std::vector<uint32_t> suffix_bytes = get_planes(in, entries, 2);
  const std::vector<uint32_t> digits = get_planes(in, entries, 2);
  const std::vector<uint32_t> default_labels = get_planes(in, defaults, 4);
  const std::vector<uint32_t> default_entries = get_planes(in, defaults, 4);
  const std::string_view text = as_text({in, text_bytes});

  struct View {
    std::string_view prefix, suffix;
  };
  std::vector<View> views;
  views.reserve(entries);
  uint64_t at = 0;
  for (size_t e = 0; e < entries; ++e) {
    const uint64_t size = uint64_t{prefix_bytes[e]} + suffix_bytes[e];
    if (size > text_bytes - at) damaged("entry " + std::to_string(e) + " lies outside the text");
    views.push_back({text.substr(at, prefix_bytes[e]), text.substr(at + prefix_bytes[e], suffix_bytes[e])});
    at += size;
  }
  if (at != text_bytes) damaged("text is left over");
  std::unordered_map<int32_t, uint32_t> usual;
  for (size_t d = 0; d < defaults; ++d) {
    if (default_entries[d] >= entries) damaged("a label's usual entry is not in the dictionary");
    usual[static_cast<int32_t>(default_labels[d])] = default_entries[d];
  }

  std::vector<std::string> names;
  names.reserve(records);
  uint64_t expanded = 0;
  for (size_t i = 0; i < records; ++i) {
    uint64_t entry = uint64_t{codes[i]} - 1;
    if (codes[i] == 0) {
      const auto it = usual.find(labels[i]);
      if (it == usual.end()) damaged("label " + std::to_string(labels[i]) + " has no usual entry");
      entry = it->second;
    }
    if (entry >= entries) damaged("record " + std::to_string(i) + " has an entry that is not in the dictionary");
    char number[16];
    size_t number_bytes = 0, zeros = 0;
    if (digits[entry] != kLiteral) {
      if (digits[entry] > layout::kMaxNameNumberDigits) damaged("a number of more than nine digits");
      number_bytes = static_cast<size_t>(std::to_chars(number, number + sizeof number, numbers[i]).ptr - number);
      zeros = digits[entry] > number_bytes ? digits[entry] - number_bytes : 0;
    }
    const View& view = views[entry];
    const size_t size = view.prefix.size() + zeros + number_bytes + view.suffix.size();
    expanded += size;
    if (size > layout::kMaxNameBytes || expanded > layout::kMaxExpandedNameBytes) damaged("names are too long");
    std::string name;
    name.reserve(size);
    name.append(view.prefix).append(zeros, '0').append(number, number_bytes).append(view.suffix);
    if (!is_canonical_name(name)) damaged("the name of record " + std::to_string(i) + " is not canonical");
    names.push_back(std::move(name));
  }
  return names;
}

}  // namespace imgpack
