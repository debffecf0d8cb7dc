#include "engine/train/run/plot_style.h"

#include <array>

#include "format/utf8.h"

namespace imgtrain {
namespace {

constexpr std::array<std::string_view, 7> kColours = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                                      "#e69f00", "#56b4e9", "#7f4f24"};

// gnuplot wants letters, digits and underscores there.
std::string svg_name(std::string_view name) {
  std::string out(name);
  for (char& c : out)
    if (c == '-') c = '_';
  return out;
}

// A path has to stay what it is.
std::string quoted(const std::string& text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("''") : std::string(1, c);
  return out + "'";
}

}  // namespace

std::string_view plot_colour(size_t series) {
  return kColours[series % kColours.size()];
}

std::string plot_output(const std::filesystem::path& target, PlotFormat format, std::string_view name, int width,
                        int height) {
  const std::string size = std::to_string(width) + "," + std::to_string(height);
  std::string out;
  if (format == PlotFormat::kPng) {
    out = "set terminal pngcairo size " + size + " font 'Sans,11'\n";
  } else {
    out = "set terminal svg size " + size + " dynamic name " + plot_text(svg_name(name)) + " font 'Helvetica,14'";
    out += format == PlotFormat::kSvg ? " background rgb 'white'\n" : "\n";
  }
  return out + "set output " + quoted(target.string()) + "\n";
}

std::string plot_frame() {
  return "set grid xtics ytics lt 1 lw 1 lc rgb '#dddddd'\nset border 3\nset tics nomirror\n"
         "set key outside bottom center horizontal\n";
}

std::string plot_text(std::string_view text, size_t longest) {
  const std::string printable = imgpack::to_printable_utf8(text);
  std::string out = "'";
  size_t taken = 0;
  for (const char c : printable) {
    const auto byte = static_cast<unsigned char>(c);
    const bool begins = (byte & 0xC0) != 0x80;  // A character, not one of its later bytes.
    if (begins && taken >= longest) {
      out += "…";
      break;
    }
    ++taken;
    if (c == '\'') {
      out += "''";
    } else {
      out += byte < 0x20 || byte == 0x7F ? ' ' : c;
    }
  }
  return out + "'";
}

}  // namespace imgtrain
