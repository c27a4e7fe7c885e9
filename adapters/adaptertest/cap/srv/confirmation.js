'use strict';
const cds = require('@sap/cds');

// The components that the order marks for backflush are issued with the confirmation. Those of material SHORT fail: they wait for a person, and
// no answer says so.
const backflush = async ({ OrderID, OrderOperation }) => {
  const parts = await SELECT.from('ProductionOrders.A_ProductionOrderComponent_3').where({ ManufacturingOrder: OrderID, MatlCompIsMarkedForBackflush: true });
  return parts.filter((p) => p.ManufacturingOrderOperation === OrderOperation && p.Material !== 'SHORT')
    .map((p) => ({ Material: p.Material, GoodsMovementType: p.GoodsMovementType, QuantityInEntryUnit: '1.000' }));
};

// What the service does of itself: it numbers documents, backflushes, and refuses as an ERP does.
module.exports = cds.service.impl(function () {
  let numbers = 0;
  this.before('CREATE', 'ProdnOrdConf2', async (req) => {
    if (!(req.data.to_ProdnOrdConfMatlDocItm || []).length) {
      req.data.to_ProdnOrdConfMatlDocItm = await backflush(req.data);
    }
    numbers += 1;
    req.data.ConfirmationGroup = String(numbers).padStart(10, '0');
    req.data.ConfirmationCount = '00000001';
    (req.data.to_ProdnOrdConfMatlDocItm || []).forEach((item, i) => {
      item.ConfirmationGroup = req.data.ConfirmationGroup;
      item.ConfirmationCount = req.data.ConfirmationCount;
      item.MaterialDocumentItem = String(i + 1).padStart(4, '0');
    });
    if (req.data.OrderID === '000001000020') {
      req.reject({ code: 'RU/505', status: 400, message: 'Posting period 011 is not open', target: 'PostingDate' });
    }
    if (req.data.OrderID === '000001000021') {
      req.reject({ code: 'CO/469', status: 400, message: 'Order 1000021 is already being processed by MILLER', target: 'OrderID' });
    }
  });
  this.before('UPDATE', 'Orders', (req) => {
    req.data.LastChangeDateTime = String(Date.now()).padStart(14, '0');
  });
});
