// Puts the two paths behind one interface.
#include "format/jpeg/fast_decoder.h"
#include "format/jpeg/image_decoder.h"

namespace imgpack::jpeg {
namespace {

class FastOrReferenceDecoder final : public ImageDecoder {
 public:
  DecodePath decode(std::span<const std::byte> jpeg, std::span<const std::byte> entropy_index,
                    const SampleWindow& window, int out_width, int out_height, Filter filter, uint8_t* rgb) override {
    const auto result = fast_.decode(jpeg, entropy_index, window, out_width, out_height, filter, rgb);
    if (result == FastDecoder::Result::kDecoded) return DecodePath::kFast;
    return reference_->decode(jpeg, entropy_index, window, out_width, out_height, filter, rgb);
  }

  size_t scratch_bytes() const override { return fast_.scratch_bytes() + reference_->scratch_bytes(); }

 private:
  FastDecoder fast_;
  std::unique_ptr<ImageDecoder> reference_ = make_reference_decoder();
};

}  // namespace

std::unique_ptr<ImageDecoder> make_decoder(const DecoderOptions& options) {
  if (options.kind == DecoderKind::kReference) return make_reference_decoder();
  return std::make_unique<FastOrReferenceDecoder>();
}

}  // namespace imgpack::jpeg
